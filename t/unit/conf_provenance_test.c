#include "conf/provenance.h"
#include "conf_fake.h"
#include "tap.h"

int
main(void)
{
    struct sp_registry    *r;
    struct sp_snapshot    *s;
    const struct sp_block *p;
    const struct sp_value *a, *b;
    char                  *errors, where[64], words[32], small[8];

    is_int(sp_registry_create(fake_modules, &r), 0, "registry");
    is_int(fake_text(r, "\npolicy {\n rate 5/s burst=7;\n}\nrealm a { rate 5/s \"burst=7\"; }\n", &s, &errors), 0,
           "build");
    p = sp_block_first(s->main, "policy");
    a = sp_block_value(s, p, "rate");
    b = sp_block_value(s, sp_block_first(s->main, "realm"), "rate");
    is_str(sp_where(where, sizeof(where), a->node), "main.conf:3", "where");
    is_str(sp_where(where, sizeof(where), NULL), "default", "nowhere");
    is_str(sp_where(small, sizeof(small), a->node), "main.co", "cut");
    is_str(sp_value_words(words, sizeof(words), a), "5/s burst=7", "words");
    is_str(sp_value_words(small, sizeof(small), a), "5/s ...", "cut");
    is_str(sp_value_words(words, sizeof(words), sp_block_value(s, p, "max_payload")), "1m", "of a built-in value");
    ok(sp_value_same(a, b), "the same words");
    ok(!sp_value_same(a, sp_block_value(s, p, "durability")), "other words");
    sp_snapshot_unref(s);
    sp_registry_destroy(r);
    return done_testing();
}
