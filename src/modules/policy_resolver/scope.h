/*
 * A scope is a block that may hold rules: the global policy, a realm, a topic block, an application; with its rules
 * compiled, so that those which speak of an identity are found at once.
 */
#ifndef SP_POLICY_RESOLVER_SCOPE_H
#define SP_POLICY_RESOLVER_SCOPE_H

#include "modules/policy_resolver/filterset.h"
#include "modules/policy_resolver/subject.h"

/* What the type of `allow` and `deny` makes of a statement: value's u.ptr. */
struct sp_rule_said {
    enum sp_principal_kind    kind;
    struct sp_str             subject; /* without @ and ~ */
    uint8_t                   subject_capture;
    uint8_t                   actions;
    unsigned                  nfilters;
    const struct sp_template *filters; /* filters[i] is argument i + SP_RULE_FILTER_ARG */
};
#define SP_RULE_SUBJECT_ARG 1
#define SP_RULE_ACTION_ARG  2
#define SP_RULE_FILTER_ARG  3

struct sp_scope;
struct sp_rule {
    const struct sp_rule_said *said;
    const struct sp_conf_node *node;
    const struct sp_scope     *scope;
    struct sp_str              where; /* "conf/x.conf:31" */
    uint32_t                   principal;
    uint32_t                   order; /* in its scope */
    bool                       deny;
};

struct sp_bucket { /* what a scope says of one principal; entries' `rule` is a struct sp_rule */
    uint32_t             principal;
    struct sp_filter_set set;
};

struct sp_scope {
    const struct sp_block *block; /* NULL: the global policy, without a block of its own */
    enum sp_level          level;
    struct sp_str          filter; /* of a topic block; else empty */
    struct sp_str          where;
    struct sp_rule        *rules; /* in the order of the file, allow before deny */
    unsigned               nrules, nbuckets, nlazy;
    struct sp_bucket      *buckets; /* by principal */
    struct sp_bucket     **lazy;    /* of lazy principals */
    bool cuts_allow, cuts_deny;     /* `allow = …`, `deny reset` …: what outer levels say does not count here */
};

/* "file:line" of a node in the arena; "default" without one. */
struct sp_str sp_where_str(struct sp_arena *a, const struct sp_conf_node *node);

/* Compiles the rules of a block. 0 or -EINVAL with diagnostics. */
int sp_scope_build(struct sp_build *b, struct sp_subjects *subjects, const struct sp_block *block, enum sp_level level,
                   struct sp_scope *out);

/* Adds what the rules of this scope say of the persona to *hit (entries of earlier scopes stay). q->around must be set. Rules
 * of a kind that `no_allow` or `no_deny` names are passed over. */
void sp_scope_ask(const struct sp_scope *s, const struct sp_persona *p, struct sp_question *q, bool no_allow,
                  bool no_deny, struct sp_filter_hit *hit);

/* Calls fn for each set of rules of this scope that speaks of the persona; `sure` is false where it may, and it cannot be told. */
void sp_scope_each(const struct sp_scope *s, const struct sp_persona                       *p,
                   void (*fn)(const struct sp_filter_set *set, bool sure, void *arg), void *arg);

#endif
