/*
 * A trie of topic filters. Each filter leads to one caller-owned pointer. Look-ups: every filter that matches a name
 * (subscriptions, interest, policy blocks) or, for a trie that holds names, every name that a filter matches (retained).
 * Look-ups neither allocate nor recurse, whatever the depth. A place that holds NULL is passed over. Callbacks must not
 * change the trie (nor may they remove what they are shown).
 */
#ifndef SP_BASE_TRIE_H
#define SP_BASE_TRIE_H

#include "base/str.h"

struct sp_trie;

int    sp_trie_create(struct sp_trie **out);
void   sp_trie_destroy(struct sp_trie *t); /* not the values */
size_t sp_trie_count(const struct sp_trie *t);
size_t sp_trie_bytes(const struct sp_trie *t);

/* The place of the value of `filter`, created (holding NULL) if it is not there; valid until that filter is removed.
 * NULL when out of memory. */
void **sp_trie_put(struct sp_trie *t, struct sp_str filter);
void  *sp_trie_get(const struct sp_trie *t, struct sp_str filter);
/* Forgets the filter and prunes empty nodes; returns the value it had or NULL. */
void *sp_trie_remove(struct sp_trie *t, struct sp_str filter);

/* Calls fn(value, arg) for each filter that matches the name (MQTT 5 4.7, `$` rule included). No order is promised. */
void sp_trie_match(const struct sp_trie *t, struct sp_str topic, void (*fn)(void *value, void *arg), void *arg);
/* For a trie of names: calls fn for each name that `filter` matches; stops when fn returns false. */
void sp_trie_search(const struct sp_trie *t, struct sp_str filter, bool (*fn)(void *value, void *arg), void *arg);
/* Every value; stops when fn returns false. */
void sp_trie_walk(const struct sp_trie *t, bool (*fn)(void *value, void *arg), void *arg);

#endif
