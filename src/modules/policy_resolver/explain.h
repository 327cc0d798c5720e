/* What is explained, ready to be printed as text or JSON: explain.c gathers it, explain_json.c prints the other form. */
#ifndef SP_POLICY_RESOLVER_EXPLAIN_H
#define SP_POLICY_RESOLVER_EXPLAIN_H

#include "conf/text.h"
#include "modules/policy_resolver/resolver.h"

struct sp_explained {
    struct sp_snapshot      *snapshot;
    const struct sp_subject *who;
    enum sp_action           action;
    struct sp_str            topic;
    struct sp_finding        finding;
    enum sp_grant            grant;         /* of a subscription; of anything else WHOLE or NONE */
    struct sp_nearest        nearest;       /* of a denial by default; rule NULL: none */
    const struct sp_claim   *nearest_claim; /* where no realm claims the topic */
};

/* `allow drone publish "/health/drone"`: the rule with the one filter that is spoken of. */
void sp_text_rule(struct sp_text *t, const struct sp_rule *rule, const struct sp_template *filter);
/* "global", "realm fleet", "topic /health/#": the block that a statement stands in. */
void sp_text_level(struct sp_text *t, enum sp_level level, const struct sp_conf_node *node);
/* What decided, in words: the rule, the line of the acl file, or the reason. */
void sp_text_cause(struct sp_text *t, const struct sp_finding *f);
/* The block that goes with it. */
void sp_text_cause_level(struct sp_text *t, const struct sp_finding *f);
/* Is it a value to be shown? Rules are not: they were judged. */
bool sp_value_shown(const struct sp_value *v);

/* "no application gps in realm fleet" where the subject names one that the topic's realm does not have. False: nothing to say. */
bool sp_text_application(struct sp_text *t, const struct sp_explained *e);

void sp_explain_json(const struct sp_explained *e, struct sp_text *t);

#endif
