/*
 * A set of filters that belong to rules, and the question which of them a topic meets. Beyond a few plain filters a trie is
 * used, so the cost of an answer does not grow with the number of rules.
 */
#ifndef SP_POLICY_RESOLVER_FILTERSET_H
#define SP_POLICY_RESOLVER_FILTERSET_H

#include "base/trie.h"
#include "conf/policy.h"
#include "modules/policy_resolver/match.h"

#define SP_ACTION_PUBLISH   1u
#define SP_ACTION_SUBSCRIBE 2u

static inline uint8_t
sp_action_bit(enum sp_action action)
{
    return action == SP_PUBLISH ? SP_ACTION_PUBLISH : SP_ACTION_SUBSCRIBE;
}

struct sp_filter_entry {
    const struct sp_template *filter;
    const void               *rule;  /* the owner's: whose filter it is */
    uint32_t                  order; /* of the rule: the first in the order of the file is named, where several match */
    uint8_t                   actions;         /* mask; 0 for a deny that holds for all */
    uint8_t                   subject_capture; /* the asker's name must be what this wildcard matched; 0: whoever */
    bool                      deny;
    struct sp_filter_entry   *same; /* the next entry with this very filter */
};

struct sp_filter_set {
    struct sp_filter_entry *entries; /* those with references first */
    unsigned                count, dynamic;
    bool                    strict; /* an allow must not be met by an identity that spans levels */
    struct sp_trie         *trie;   /* of the plain ones, when there are many */
};

/* A question, and what is found out on the way to its answer. */
struct sp_question {
    struct sp_str        topic;
    uint8_t              action; /* one bit */
    struct sp_str        identity, client;
    const struct sp_str *around;   /* the filter that encloses the rules asked now; NULL: none */
    const struct sp_str *captured; /* the filter that `captures` were taken with */
    struct sp_str        captures[SP_CAPTURES_MAX];
    int                  ncaptures;
    struct sp_scratch   *scratch;
};

struct sp_filter_hit {
    const struct sp_filter_entry *deny, *allow;
};

/* Takes the entries over (they are sorted in place). */
void sp_filter_set_build(struct sp_arena *a, struct sp_filter_entry *entries, unsigned count, bool strict,
                         struct sp_filter_set *out);
/* Adds to *hit what matches; an entry that is there already and comes earlier in the file stays. */
void sp_filter_set_ask(const struct sp_filter_set *set, struct sp_question *q, struct sp_filter_hit *hit);

#endif
