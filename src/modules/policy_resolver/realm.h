/*
 * Which realm owns a topic, and which blocks of it hold there. All `topics` filters of all realms ("claims") are in one trie; the
 * most specific one that matches decides.
 */
#ifndef SP_POLICY_RESOLVER_REALM_H
#define SP_POLICY_RESOLVER_REALM_H

#include "modules/policy_resolver/scope.h"

#define SP_PATH_TOPICS_MAX (sizeof(((struct sp_path *)0)->topics) / sizeof(struct sp_block *))

struct sp_realm {
    struct sp_scope  scope;
    struct sp_str    name, label; /* label: "realm fleet" */
    struct sp_scope *topics;      /* topic blocks, by specificity, least specific first */
    unsigned         ntopics;
    struct sp_trie  *topic_trie; /* of them, when there are many; values: struct sp_scope * */
    struct sp_scope *applications;
    unsigned         napplications;
};

struct sp_claim { /* one filter of a realm's `topics` */
    struct sp_str              filter;
    struct sp_str              prefix; /* its levels before the first wildcard: "/a" of "/a/+/b" */
    struct sp_realm           *realm;
    const struct sp_conf_node *node; /* the statement, and which argument of it */
    unsigned                   arg;
};

struct sp_realms {
    struct sp_realm *realms;
    unsigned         nrealms;
    struct sp_claim *claims; /* by prefix, bytewise */
    unsigned         nclaims;
    struct sp_trie  *trie; /* filter -> struct sp_claim */
};

/* The blocks that hold for a topic, from the outside in, without the global policy. */
struct sp_place {
    const struct sp_claim *claim; /* NULL: no realm */
    const struct sp_scope *topics[SP_PATH_TOPICS_MAX];
    unsigned               ntopics;
    const struct sp_scope *application;
};

/* Builds all realms below main. 0 or -EINVAL with diagnostics: two claims that are equal, more than 16 topic blocks that one
 * topic matches. Warnings: rules and blocks outside their realm, a realm without topics. */
int sp_realms_build(struct sp_build *b, struct sp_subjects *subjects, struct sp_realms *out);

void sp_realms_locate(const struct sp_realms *r, struct sp_str topic, struct sp_str application, struct sp_place *out);
/* For a filter: the most specific realm that all it can match lies in, and the topic blocks that cover it. */
void sp_realms_locate_filter(const struct sp_realms *r, struct sp_str filter, struct sp_str application,
                             struct sp_place *out);
/* Calls fn for every claim that has a topic in common with the filter (perhaps for a few others); stops when fn returns false. */
void sp_realms_overlapping(const struct sp_realms *r, struct sp_str               filter,
                           bool (*fn)(const struct sp_claim *c, void *arg), void *arg);

void sp_place_path(const struct sp_place *p, struct sp_path *out);

/* realm_check.c */
int sp_realm_check(struct sp_build *b, const struct sp_realms *all, const struct sp_realm *r);

#endif
