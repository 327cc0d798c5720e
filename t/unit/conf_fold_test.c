#include "conf/fold.h"
#include "conf/text.h"
#include "conf_fake.h"
#include "tap.h"

static struct sp_registry *registry;
static struct sp_snapshot *snapshot;

static const struct sp_block *
named(const struct sp_block *parent, const char *context, const char *name)
{
    const struct sp_block *b = sp_block_first(parent, context);

    while (b != NULL && !sp_str_is(b->node->args[1].text, name)) {
        b = sp_block_next(b);
    }
    return b;
}

static const struct sp_policy *
fold(const char *realm, const char *topic, const char *second, const char *application)
{
    struct sp_path p = {.realm = realm == NULL ? NULL : named(snapshot->main, "realm", realm)};

    if (topic != NULL) {
        p.topics[p.ntopics++] = named(p.realm, "topic", topic);
    }
    if (second != NULL) {
        p.topics[p.ntopics++] = named(p.realm, "topic", second);
    }
    p.application = application == NULL ? NULL : named(p.realm, "application", application);
    return sp_policy_fold(snapshot, &p);
}

static const struct sp_value *
value(const struct sp_policy *p, const char *name)
{
    return sp_policy_value(p, sp_registry_policy_id(registry, name));
}

static int64_t
num(const struct sp_policy *p, const char *name)
{
    return sp_policy_num(p, sp_registry_policy_id(registry, name), -77);
}

static const char *
list(const struct sp_policy *p)
{
    static struct sp_text t;

    sp_text_reset(&t);
    for (const struct sp_value *v = value(p, "pick"); v != NULL; v = v->next) {
        sp_text_add(&t, v->node == NULL ? SP_STR("default ") : SP_STR(" "));
        if (v->node != NULL) {
            sp_text_add(&t, v->node->args[1].text);
        }
    }
    return sp_text_str(&t).p;
}

static void
build(const char *text)
{
    char *errors;

    is_int(fake_text(registry, text, &snapshot, &errors), 0, "build");
    free(errors);
}

static void
test_values(void)
{
    const struct sp_policy *p;
    const struct sp_value  *v;

    build("policy { quality 1; grade green; hold on; max_payload 64k; }\n"
          "realm a { quality 2; grade blue; topic \"x/#\" { hold off; max_payload 8k; } topic \"x/y\" { grade red; "
          "max_payload 16k; }\n"
          "          application p { hold on; quality 0; } }\nrealm b { }\n");
    p = fold(NULL, NULL, NULL, NULL);
    ok(num(p, "quality") == 1 && num(p, "hold") == 1 && value(p, "quality")->level == SP_LEVEL_GLOBAL, "global");
    ok(value(p, "quality")->outer->level == SP_LEVEL_DEFAULT, "it overrode the built-in value");
    is_int(value(p, "colour")->level, SP_LEVEL_DEFAULT, "what nobody set is built in");
    is_int(num(p, "serve"), -77, "no policy value");
    ok(sp_policy_value(p, -2) == NULL && sp_policy_value(p, 100000) == NULL, "no such id");
    p = fold("a", NULL, NULL, NULL);
    is_int(num(p, "quality"), 1, "STRICTEST: a looser inner value does not count");
    is_int(num(p, "grade"), 2, "REPLACE: the inner one holds");
    p = fold("a", "x/#", "x/y", NULL);
    ok(num(p, "grade") == 0 && num(p, "hold") == 0 && num(p, "max_payload") == 8192, "two topic blocks");
    v = value(p, "grade");
    ok(v->level == SP_LEVEL_TOPIC && v->outer->level == SP_LEVEL_REALM && v->outer->outer->level == SP_LEVEL_GLOBAL &&
           v->outer->outer->outer->level == SP_LEVEL_DEFAULT && v->outer->outer->outer->outer == NULL,
       "the whole way of a value is kept");
    p = fold("a", "x/#", NULL, "p");
    ok(num(p, "hold") == 1 && num(p, "quality") == 0, "the application is the innermost");
    ok(p->path.application != NULL && p->path.ntopics == 1 && p->path.realm != NULL, "the path is told");
    ok(p == fold("a", "x/#", NULL, "p") && p != fold("a", NULL, NULL, "p"), "remembered by path");
    is_int(num(fold("b", NULL, NULL, NULL), "quality"), 1, "an empty realm");
    is_int(p->generation, 1, "generation");
    sp_snapshot_unref(snapshot);
}

static void
test_lists(void)
{
    build("policy { pick a; pick b; }\nrealm add { pick c; topic \"t\" { pick += d; } }\nrealm set { pick = c; }\n"
          "realm none { pick reset; topic \"t\" { pick d; } }\n");
    is_str(list(fold(NULL, NULL, NULL, NULL)), " a b", "global");
    is_str(list(fold("add", "t", NULL, NULL)), " a b c d", "levels add up, outermost first");
    is_str(list(fold("set", NULL, NULL, NULL)), " c", "= replaces");
    is_str(list(fold("none", NULL, NULL, NULL)), "", "reset empties");
    is_str(list(fold("none", "t", NULL, NULL)), " d", "and what is within starts anew");
    sp_snapshot_unref(snapshot);
    build("realm plain { pick a; }\nrealm plus { pick += a; }\nrealm none { pick reset; }\nrealm no { }\n");
    is_str(list(fold("no", NULL, NULL, NULL)), "default ", "the built-in list");
    is_str(list(fold("plain", NULL, NULL, NULL)), " a", "is gone when somebody states one");
    is_str(list(fold("plus", NULL, NULL, NULL)), "default  a", "unless it is added to");
    is_str(list(fold("none", NULL, NULL, NULL)), "", "or emptied");
    sp_snapshot_unref(snapshot);
}

/* The build refuses what it can see; between topic blocks given in an order it did not expect the fold keeps the floor. */
static void
test_floors(void)
{
    const struct sp_policy *p;

    build("policy { grade green floor; colour red floor; }\n"
          "realm a { grade red; topic \"+/y\" { grade green; } topic \"x/#\" { hold on; grade red floor; } }\n");
    p = fold("a", "+/y", "x/#", NULL);
    is_int(num(p, "grade"), 0, "a floor is tightened");
    ok(sp_fold_floor(value(p, "grade")) == value(p, "grade"), "the strictest floor");
    p = fold("a", "x/#", "+/y", NULL);
    is_int(num(p, "grade"), 0, "and not loosened by what comes behind it");
    is_int(num(p, "colour"), 0, "a floor without an order");
    ok(sp_fold_floor(value(p, "hold")) == NULL, "no floor");
    sp_snapshot_unref(snapshot);
}

int
main(void)
{
    is_int(sp_registry_create(fake_modules, &registry), 0, "registry");
    test_values();
    test_lists();
    test_floors();
    sp_registry_destroy(registry);
    return done_testing();
}
