/*
 * The nodes of a trie: internal to trie.c and trie_node.c. A node is a level. Its literal children are, by their
 * capacity: 0: none; 1: a pointer to the child itself; 4: a list; 8 and more: a hash table (open addressing, load 3/4
 * at most, the hashes behind the pointers). A walk finds its way back through `parent`, so it needs no stack.
 */
#ifndef SP_BASE_TRIE_NODE_H
#define SP_BASE_TRIE_NODE_H

#include "base/str.h"

#define SP_TRIE_VALUE 1u /* a filter ends here */
#define SP_TRIE_REST  2u /* a filter ends in '#' below here */

struct sp_trie_node {
    struct sp_trie_node *parent, *plus;
    void                *value, *rest; /* of the filters "<this>" and "<this>/#" */
    union {
        struct sp_trie_node  *one;
        struct sp_trie_node **slots;
    } kids;
    uint32_t kids_n, kids_cap;
    uint16_t text_n;
    uint8_t  flags;
    char     text[];
};

/* `bytes` counts what nodes and tables take, about. NULL when out of memory or for a level above 65,535 bytes. */
struct sp_trie_node *sp_trie_node_new(struct sp_str text, size_t *bytes);
void                 sp_trie_node_free(struct sp_trie_node *n, size_t *bytes);

/* The literal child, or NULL. */
struct sp_trie_node *sp_trie_kids_find(const struct sp_trie_node *n, struct sp_str text);
/* The slot of a child that is there: siblings in the slots behind are what a walk has yet to see. */
uint32_t sp_trie_kids_index(const struct sp_trie_node *n, const struct sp_trie_node *kid);
/* 0 or -ENOMEM. */
int  sp_trie_kids_add(struct sp_trie_node *n, struct sp_trie_node *kid, size_t *bytes);
void sp_trie_kids_remove(struct sp_trie_node *n, const struct sp_trie_node *kid, size_t *bytes);

/* i < kids_cap; NULL: a free slot. */
static inline struct sp_trie_node *
sp_trie_kids_slot(const struct sp_trie_node *n, uint32_t i)
{
    return n->kids_cap == 1 ? n->kids.one : n->kids.slots[i];
}

#endif
