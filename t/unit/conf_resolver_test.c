#include "conf_fake.h"
#include "tap.h"

int
main(void)
{
    struct sp_registry       *r;
    struct sp_snapshot       *s;
    struct sp_subject         who = {.identity = SP_STR("drone")};
    struct sp_decision        d;
    static struct sp_resolver other;
    char                     *errors, *text;

    is_int(sp_registry_create(fake_modules, &r), 0, "registry");
    is_int(fake_text(r, "policy { quality 1; }", &s, &errors), 0, "build");
    sp_resolver()->decide(s, &who, SP_PUBLISH, SP_STR("x"), &d);
    ok(!d.allowed && d.rule == NULL && d.policy != NULL, "without a module everything is denied");
    is_str(d.reason, "built without policy_resolver", "and why");
    ok(sp_str_is(d.where, "default"), "and where");
    is_int(sp_policy_num(d.policy, sp_registry_policy_id(r, "quality"), 9), 1, "under the global policy");
    is_int(sp_resolver()->grant(s, &who, SP_STR("#"), &d), SP_GRANT_NONE, "nothing is granted");
    is_int(sp_resolver()->explain(s, &who, SP_PUBLISH, SP_STR("x"), true, &text), 0, "explained");
    is_str(text, "{\"allowed\":false,\"reason\":\"built without policy_resolver\"}\n", "in JSON");
    free(text);
    is_int(sp_resolver_register(&other), 0, "a module registers");
    is_int(sp_resolver_register(&other), -EBUSY, "a second one does not");
    ok(sp_resolver() == &other, "it is asked from then on");
    sp_snapshot_unref(s);
    sp_registry_destroy(r);
    return done_testing();
}
