#include "base/trie_node.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"

#define LIST_SLOTS      4u
#define TABLE_MAX_SLOTS (1u << 30)

/* What malloc takes for n bytes, about. */
static size_t
cost(size_t n)
{
    return n == 0 ? 0 : (n + 8 + 15) & ~(size_t)15;
}

static size_t
node_cost(const struct sp_trie_node *n)
{
    size_t need = offsetof(struct sp_trie_node, text) + n->text_n;
    return cost(need < sizeof(struct sp_trie_node) ? sizeof(struct sp_trie_node) : need);
}

struct sp_trie_node *
sp_trie_node_new(struct sp_str text, size_t *bytes)
{
    size_t               need = offsetof(struct sp_trie_node, text) + text.n;
    struct sp_trie_node *n;

    if (text.n > UINT16_MAX) {
        return NULL;
    }
    n = calloc(1, need < sizeof(*n) ? sizeof(*n) : need);
    if (n == NULL) {
        return NULL;
    }
    n->text_n = (uint16_t)text.n;
    if (text.n > 0) {
        memcpy(n->text, text.p, text.n);
    }
    *bytes += node_cost(n);
    return n;
}

void
sp_trie_node_free(struct sp_trie_node *n, size_t *bytes)
{
    *bytes -= node_cost(n);
    free(n);
}

static bool
has_text(const struct sp_trie_node *n, struct sp_str text)
{
    return n->text_n == text.n && (text.n == 0 || memcmp(n->text, text.p, text.n) == 0);
}

static struct sp_str
node_text(const struct sp_trie_node *n)
{
    return (struct sp_str){n->text, n->text_n};
}

static uint32_t
level_hash(struct sp_str text)
{
    return (uint32_t)sp_hash(text);
}

static size_t
kids_bytes(uint32_t cap)
{
    if (cap <= 1) {
        return 0;
    }
    return cap * sizeof(struct sp_trie_node *) + (cap > LIST_SLOTS ? cap * sizeof(uint32_t) : 0);
}

static uint32_t *
kids_hashes(const struct sp_trie_node *n)
{
    return (uint32_t *)(void *)(n->kids.slots + n->kids_cap);
}

/* The table's slot of the text, or the free one where it would go. */
static uint32_t
table_find(const struct sp_trie_node *n, struct sp_str text, uint32_t hash)
{
    uint32_t  mask = n->kids_cap - 1, i = hash & mask;
    uint32_t *hashes = kids_hashes(n);

    while (n->kids.slots[i] != NULL && !(hashes[i] == hash && has_text(n->kids.slots[i], text))) {
        i = (i + 1) & mask;
    }
    return i;
}

struct sp_trie_node *
sp_trie_kids_find(const struct sp_trie_node *n, struct sp_str text)
{
    if (n->kids_n == 0) {
        return NULL;
    }
    if (n->kids_cap > LIST_SLOTS) {
        return n->kids.slots[table_find(n, text, level_hash(text))];
    }
    for (uint32_t i = 0; i < n->kids_n; i++) {
        struct sp_trie_node *kid = sp_trie_kids_slot(n, i);

        if (has_text(kid, text)) {
            return kid;
        }
    }
    return NULL;
}

uint32_t
sp_trie_kids_index(const struct sp_trie_node *n, const struct sp_trie_node *kid)
{
    uint32_t i = 0;

    if (n->kids_cap > LIST_SLOTS) {
        return table_find(n, node_text(kid), level_hash(node_text(kid)));
    }
    while (sp_trie_kids_slot(n, i) != kid) {
        i++;
    }
    return i;
}

/* There is room: lists and single pointers are filled from the left. */
static void
kids_place(struct sp_trie_node *n, struct sp_trie_node *kid, uint32_t hash)
{
    if (n->kids_cap == 1) {
        n->kids.one = kid;
    } else if (n->kids_cap == LIST_SLOTS) {
        n->kids.slots[n->kids_n] = kid;
    } else {
        uint32_t mask = n->kids_cap - 1, i = hash & mask;

        while (n->kids.slots[i] != NULL) {
            i = (i + 1) & mask;
        }
        n->kids.slots[i] = kid;
        kids_hashes(n)[i] = hash;
    }
    n->kids_n++;
}

static uint32_t
slot_hash(const struct sp_trie_node *n, uint32_t i)
{
    return n->kids_cap > LIST_SLOTS ? kids_hashes(n)[i] : level_hash(node_text(sp_trie_kids_slot(n, i)));
}

static int
kids_resize(struct sp_trie_node *n, uint32_t cap, size_t *bytes)
{
    struct sp_trie_node old = *n;

    if (cap > TABLE_MAX_SLOTS) {
        return -ENOMEM;
    }
    if (cap > 1) {
        struct sp_trie_node **slots = calloc(1, kids_bytes(cap));

        if (slots == NULL) {
            return -ENOMEM;
        }
        n->kids.slots = slots;
    } else {
        n->kids.one = NULL;
    }
    n->kids_n = 0;
    n->kids_cap = cap;
    for (uint32_t i = 0; i < old.kids_cap; i++) {
        struct sp_trie_node *kid = sp_trie_kids_slot(&old, i);

        if (kid != NULL) {
            kids_place(n, kid, cap > LIST_SLOTS ? slot_hash(&old, i) : 0);
        }
    }
    if (old.kids_cap > 1) {
        free(old.kids.slots);
    }
    *bytes = *bytes - cost(kids_bytes(old.kids_cap)) + cost(kids_bytes(cap));
    return 0;
}

int
sp_trie_kids_add(struct sp_trie_node *n, struct sp_trie_node *kid, size_t *bytes)
{
    uint32_t room = n->kids_cap <= LIST_SLOTS ? n->kids_cap : n->kids_cap / 4 * 3;

    if (n->kids_n == room) {
        uint32_t next = n->kids_cap == 0 ? 1 : n->kids_cap == 1 ? LIST_SLOTS : n->kids_cap * 2;
        int      rc = kids_resize(n, next, bytes);

        if (rc != 0) {
            return rc;
        }
    }
    kids_place(n, kid, n->kids_cap > LIST_SLOTS ? level_hash(node_text(kid)) : 0);
    return 0;
}

static void
table_remove(struct sp_trie_node *n, uint32_t hole)
{
    uint32_t  mask = n->kids_cap - 1;
    uint32_t *hashes = kids_hashes(n);

    for (uint32_t i = (hole + 1) & mask; n->kids.slots[i] != NULL; i = (i + 1) & mask) {
        if (((i - hashes[i]) & mask) >= ((i - hole) & mask)) { /* probed past the hole: may live there */
            n->kids.slots[hole] = n->kids.slots[i];
            hashes[hole] = hashes[i];
            hole = i;
        }
    }
    n->kids.slots[hole] = NULL;
}

void
sp_trie_kids_remove(struct sp_trie_node *n, const struct sp_trie_node *kid, size_t *bytes)
{
    uint32_t i = sp_trie_kids_index(n, kid);

    n->kids_n--;
    if (n->kids_cap > LIST_SLOTS) {
        table_remove(n, i);
        if (n->kids_n <= n->kids_cap / 8) {
            /* without memory for the smaller table the larger one stays */
            (void)kids_resize(n, n->kids_n == 0 ? 0 : n->kids_cap / 2, bytes);
        }
        return;
    }
    if (n->kids_cap == LIST_SLOTS) {
        n->kids.slots[i] = n->kids.slots[n->kids_n];
        n->kids.slots[n->kids_n] = NULL;
    }
    if (n->kids_n == 0) {
        if (n->kids_cap == 1) {
            n->kids.one = NULL;
        }
        (void)kids_resize(n, 0, bytes); /* cannot fail */
    }
}
