/*
 * The resolver's part of a snapshot: realms, rules, acl files; and the answers to the questions of conf/policy.h. One thread at a
 * time, as the snapshot itself.
 */
#ifndef SP_POLICY_RESOLVER_RESOLVER_H
#define SP_POLICY_RESOLVER_RESOLVER_H

#include "modules/policy_resolver/aclfile.h"
#include "modules/policy_resolver/memo.h"
#include "modules/policy_resolver/realm.h"

extern const struct sp_module sp_policy_resolver_module;

struct sp_acl {
    struct sp_acl             *next;
    const struct sp_conf_node *node;  /* the acl_file statement */
    struct sp_str              where; /* of that */
    struct sp_aclfile         *file;
};

struct sp_resolver_part {
    struct sp_snapshot        *snapshot;
    struct sp_subjects        *subjects;
    struct sp_scope            global;
    struct sp_realms           realms;
    struct sp_acl             *acls;
    bool                       unknown_global;
    const struct sp_conf_node *unknown_node; /* the unknown_realm statement, or NULL */
    struct sp_str              unknown_where;
    int                        subscription_id; /* of the policy value */
    struct sp_memo             memo;
    struct sp_scratch          scratch[6];
};

/* Everything found out about one question. */
struct sp_finding {
    struct sp_decision        decision;
    struct sp_place           place;
    bool                      judged; /* rules were asked; else the decision fell before */
    const struct sp_rule     *rule;   /* that decided, or NULL */
    const struct sp_template *filter; /* which filter of it */
    const struct sp_acl      *acl;    /* whose file decided, or NULL */
    const struct sp_acl_line *line;   /* in it; NULL with acl set: a name that holds a wildcard */
};

/* A module's build(). */
int                      sp_resolver_build(struct sp_build *b, void **data);
struct sp_resolver_part *sp_resolver_part(const struct sp_snapshot *s);

/* decide.c: without the memo, with all that `explain` wants to know. */
void sp_resolver_find(struct sp_resolver_part *r, const struct sp_subject *who, enum sp_action action,
                      struct sp_str topic, struct sp_finding *out);
const struct sp_policy *sp_resolver_policy(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str topic);
void sp_resolver_decide(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
                        struct sp_decision *out);
/* The gateway's own topics, which nobody may publish to: $SYS, $CONTROL, $share. */
bool sp_topic_reserved(struct sp_str topic);

/* grant.c: the same for a filter; place: of the most specific realm that all of it lies in, else of one that it touches. */
enum sp_grant sp_resolver_find_filter(struct sp_resolver_part *r, const struct sp_subject *who, struct sp_str filter,
                                      struct sp_finding *out);
enum sp_grant sp_resolver_grant(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str filter,
                                struct sp_decision *out);

/* explain.c */
int sp_resolver_explain(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
                        bool json, char **text);

/* nearest.c: the rule that would have allowed it, had a little been different; rule is NULL if none comes near. */
struct sp_nearest {
    const struct sp_rule     *rule;
    const struct sp_template *filter;
};
struct sp_nearest sp_resolver_nearest(struct sp_resolver_part *r, const struct sp_subject *who, enum sp_action action,
                                      struct sp_str topic, const struct sp_place *place);
/* The realm's filter that comes nearest to a topic that no realm claims; NULL if none is near. */
const struct sp_claim *sp_resolver_nearest_claim(const struct sp_resolver_part *r, struct sp_str topic);

#endif
