/* The messages are in the golden tests; here: a realm with more topics than are compared pair by pair. */
#include "conf/text.h"
#include "conf_fake.h"
#include "tap.h"

int
main(void)
{
    struct sp_registry *r;
    struct sp_snapshot *s;
    struct sp_text      t = {0};
    char               *errors;

    is_int(sp_registry_create(fake_modules, &r), 0, "registry");
    sp_text_printf(&t, "realm a {\n    topic \"#\" { grade red floor; }\n");
    for (int i = 0; i < 20; i++) {
        sp_text_printf(&t, "    topic \"x/%d\" { grade blue; }\n", i);
    }
    sp_text_printf(&t, "}\n");
    is_int(fake_text(r, sp_text_str(&t).p, &s, &errors), -EINVAL, "every topic below a floor");
    ok(errors != NULL &&
           strstr(errors, "main.conf:22:26: error: grade blue loosens the floor red of the level topic") != NULL,
       "the last one too");
    free(errors);

    sp_text_reset(&t);
    sp_text_printf(&t, "realm a {\n");
    for (int i = 0; i < 5000; i++) {
        sp_text_printf(&t, "    topic \"x/%d\" { quality %d; grade red floor; }\n", i, i % 3);
    }
    sp_text_printf(&t, "}\n");
    is_int(fake_text(r, sp_text_str(&t).p, &s, &errors), 0, "5,000 topics with floors in one realm");
    free(errors);
    sp_snapshot_unref(s);
    sp_text_free(&t);
    sp_registry_destroy(r);
    return done_testing();
}
