/*
 * Decisions already made under a snapshot: a bounded table, two places for each hash; the newer answer takes the place of the
 * older. Answers are found by the whole question, never by its hash alone.
 */
#ifndef SP_POLICY_RESOLVER_MEMO_H
#define SP_POLICY_RESOLVER_MEMO_H

#include "conf/policy.h"

#define SP_MEMO_SLOTS     4096u /* a power of two */
#define SP_MEMO_KEY_BYTES 1024u /* longer questions are answered anew each time */
#define SP_MEMO_INLINE    176u  /* shorter ones lie in the slot itself */

struct sp_memo_slot {
    uint64_t           hash;
    struct sp_decision decision;
    uint32_t           key_bytes, key_cap; /* 0 bytes: free */
    char              *key;                /* of a long question: key_cap bytes */
    char               text[SP_MEMO_INLINE];
};

struct sp_memo {
    struct sp_memo_slot *slots;   /* NULL until the first answer */
    bool                 clients; /* the client id is part of the question */
    size_t               turn;    /* 0 or 1 */
    uint64_t             hits, misses;
};

/* The parts of a question, in one piece. */
struct sp_memo_key {
    uint64_t hash;
    uint32_t bytes; /* 0: too long to be remembered */
    char     text[SP_MEMO_KEY_BYTES];
};

void sp_memo_key(const struct sp_memo *m, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
                 struct sp_memo_key *out);
bool sp_memo_find(struct sp_memo *m, const struct sp_memo_key *key, struct sp_decision *out);
void sp_memo_add(struct sp_memo *m, const struct sp_memo_key *key, const struct sp_decision *d);
void sp_memo_clear(struct sp_memo *m);

#endif
