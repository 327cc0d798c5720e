/* Round trips are in the golden tests; here: comments, and a writer that fails. */
#include "conf/text.h"
#include "conf_fake.h"
#include "tap.h"

static int
append(void *arg, struct sp_str text)
{
    sp_text_add(arg, text);
    return 0;
}

static int
fail_later(void *arg, struct sp_str text)
{
    (void)text;
    return --*(int *)arg < 0 ? -EPIPE : 0;
}

int
main(void)
{
    struct sp_registry *r;
    struct sp_snapshot *s;
    struct sp_text      t = {0};
    char               *errors;
    int                 left = 3;

    is_int(sp_registry_create(fake_modules, &r), 0, "registry");
    is_int(fake_text(r, "policy { quality 1 floor; }\nrealm \"a b\" { topic x/# { hold on; } }", &s, &errors), 0,
           "build");
    is_int(sp_snapshot_dump_bare(s, append, &t), 0, "bare");
    is_str(sp_text_str(&t).p,
           "policy {\n    quality 1 floor;\n}\nrealm \"a b\" {\n    topic x/# {\n        hold on;\n    }\n}\n",
           "without comments");
    sp_text_reset(&t);
    is_int(sp_snapshot_dump(s, append, &t), 0, "whole");
    ok(strstr(t.p, "    quality 1 floor;  # main.conf:1\n") != NULL, "provenance");
    ok(strstr(t.p, "    # max_payload 1m;  default\n") != NULL, "built-in values at the global level");
    ok(strstr(t.p, "        # quality 1;  global main.conf:1\n") != NULL, "values from outer levels");
    ok(strstr(t.p, "\n# data_dir data;  default\n") != NULL, "built-in values of main");
    is_int(sp_snapshot_dump(s, fail_later, &left), -EPIPE, "a write that fails ends it");
    sp_snapshot_unref(s);
    sp_text_free(&t);
    sp_registry_destroy(r);
    return done_testing();
}
