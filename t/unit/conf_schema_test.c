/* What the golden tests do not show: the blocks and values that come out. */
#include "conf/schema.h"
#include "conf_fake.h"
#include "tap.h"

static unsigned
length(const struct sp_value *v)
{
    unsigned n = 0;

    for (; v != NULL; v = v->next) {
        n++;
    }
    return n;
}

int
main(void)
{
    struct sp_registry    *r;
    struct sp_snapshot    *s;
    const struct sp_block *p, *realm, *topic;
    const struct sp_value *v;
    char                  *errors;

    is_int(sp_registry_create(fake_modules, &r), 0, "registry");
    is_int(fake_text(r,
                     "policy { quality 1 floor; pick a; pick b; }\n"
                     "fakeproto { serve 1; serve 2; }\nfakeproto { }\n"
                     "realm a { filters x; filters y z; topic \"t/#\" { hold on; pick = c; } topic \"u\" { } }\n"
                     "realm b { }\n",
                     &s, &errors),
           0, "build");
    ok(errors == NULL, "no warning");
    p = sp_block_first(s->main, "policy");
    ok(p != NULL && p->parent == s->main && sp_block_next(p) == NULL, "the policy block");
    v = sp_block_value(s, p, "quality");
    ok(v->floor && v->u.num == 1 && v->level == SP_LEVEL_GLOBAL && v->node->nargs == 2, "a floor leaves the arguments");
    is_int(length(sp_block_value(s, p, "pick")), 2, "a list of two statements");
    realm = sp_block_first(s->main, "realm");
    ok(realm != NULL && sp_str_is(realm->node->args[1].text, "a"), "realms come in the order of the file");
    ok(sp_block_next(realm) != NULL && sp_str_is(sp_block_next(realm)->node->args[1].text, "b"), "the next one");
    is_int(length(sp_block_value(s, realm, "filters")), 2, "statements that may be repeated are a list");
    topic = sp_block_first(realm, "topic");
    v = sp_block_value(s, topic, "hold");
    ok(v->u.num == 1 && v->level == SP_LEVEL_TOPIC && v->node->directive == v->directive, "a value of a topic");
    ok(topic->cuts != NULL && length(sp_block_value(s, topic, "pick")) == 1, "= cuts off");
    p = sp_block_first(s->main, "fakeproto");
    is_int(length(sp_block_value(s, p, "serve")), 2, "of the first block");
    ok(sp_block_value(s, sp_block_next(p), "serve") == NULL, "of the second one");
    v = sp_block_value(s, p, "keep_idle");
    ok(v != NULL && v->node == NULL && v->level == SP_LEVEL_DEFAULT && v->u.num == 60000, "a built-in default");
    is_int(sp_block_num(s, p, "keep_idle"), 60000, "its number");
    is_int(sp_block_num(s, p, "nothing"), 0, "no such directive");
    ok(sp_block_value(s, p, "quality") == NULL, "not of this context");
    ok(sp_str_is(sp_block_str(s, s->main, "data_dir"), "data"), "its text");
    sp_snapshot_unref(s);
    is_int(sp_context_level("application"), SP_LEVEL_APPLICATION, "a level");
    is_int(sp_context_level("fakeproto"), SP_LEVEL_GLOBAL, "no level");
    sp_registry_destroy(r);
    return done_testing();
}
