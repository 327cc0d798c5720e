#include <errno.h>
#include <stdlib.h>

#include "conf/policy.h"

static const char no_resolver[] = "built without policy_resolver";

static const struct sp_policy *
null_policy(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str topic)
{
    struct sp_path path = {0};

    (void)who;
    (void)topic;
    return sp_policy_fold(s, &path);
}

static void
null_decide(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
            struct sp_decision *out)
{
    (void)action;
    *out =
        (struct sp_decision){.where = SP_STR("default"), .reason = no_resolver, .policy = null_policy(s, who, topic)};
}

static enum sp_grant
null_grant(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str filter, struct sp_decision *out)
{
    null_decide(s, who, SP_SUBSCRIBE, filter, out);
    return SP_GRANT_NONE;
}

static int
null_explain(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic, bool json,
             char **text)
{
    (void)s;
    (void)who;
    (void)action;
    (void)topic;
    *text = strdup(json ? "{\"allowed\":false,\"reason\":\"built without policy_resolver\"}\n"
                        : "DENIED: built without policy_resolver\n");
    return *text == NULL ? -ENOMEM : 0;
}

static const struct sp_resolver  null_resolver = {null_policy, null_decide, null_grant, null_explain};
static const struct sp_resolver *registered; /* set once, before any configuration, by a module's init */

int
sp_resolver_register(const struct sp_resolver *r)
{
    if (registered != NULL) {
        return -EBUSY;
    }
    registered = r;
    return 0;
}

const struct sp_resolver *
sp_resolver(void)
{
    return registered != NULL ? registered : &null_resolver;
}
