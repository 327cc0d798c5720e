#include "base/trie.h"

#include <errno.h>
#include <stdlib.h>

#include "base/trie_node.h"

struct sp_trie {
    struct sp_trie_node *root; /* stands before the first level */
    size_t               count, bytes;
};

/* A level of a topic or filter: text[start .. end). */
struct span {
    size_t start, end;
};

static struct span
span_at(struct sp_str s, size_t start)
{
    const char *slash = start >= s.n ? NULL : memchr(s.p + start, '/', s.n - start);

    return (struct span){start, slash != NULL ? (size_t)(slash - s.p) : s.n};
}

static struct span
span_before(struct sp_str s, struct span at)
{
    size_t      end = at.start - 1;
    const char *slash = end == 0 ? NULL : memrchr(s.p, '/', end);

    return (struct span){slash != NULL ? (size_t)(slash - s.p) + 1 : 0, end};
}

static struct sp_str
span_text(struct sp_str s, struct span at)
{
    return (struct sp_str){s.p + at.start, at.end - at.start};
}

static bool
is_wildcard(struct sp_str level, char wildcard)
{
    return level.n == 1 && level.p[0] == wildcard;
}

static bool
is_hidden(const char *text, size_t n) /* MQTT 5 4.7.2 */
{
    return n > 0 && text[0] == '$';
}

int
sp_trie_create(struct sp_trie **out)
{
    struct sp_trie *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        return -ENOMEM;
    }
    t->bytes = sizeof(*t);
    t->root = sp_trie_node_new((struct sp_str){NULL, 0}, &t->bytes);
    if (t->root == NULL) {
        free(t);
        return -ENOMEM;
    }
    *out = t;
    return 0;
}

/* The next child to free below n; kids_n has become the position in the children. */
static struct sp_trie_node *
take_child(struct sp_trie_node *n)
{
    struct sp_trie_node *kid = n->plus;

    n->plus = NULL;
    while (kid == NULL && n->kids_n < n->kids_cap) {
        kid = sp_trie_kids_slot(n, n->kids_n++);
    }
    if (kid != NULL) {
        kid->kids_n = 0;
    }
    return kid;
}

void
sp_trie_destroy(struct sp_trie *t)
{
    struct sp_trie_node *n;

    if (t == NULL) {
        return;
    }
    n = t->root;
    n->kids_n = 0;
    while (n != NULL) {
        struct sp_trie_node *kid = take_child(n);

        if (kid != NULL) {
            n = kid;
            continue;
        }
        kid = n;
        n = n->parent;
        if (kid->kids_cap > 1) {
            free(kid->kids.slots);
        }
        free(kid);
    }
    free(t);
}

size_t
sp_trie_count(const struct sp_trie *t)
{
    return t->count;
}

size_t
sp_trie_bytes(const struct sp_trie *t)
{
    return t->bytes;
}

/* Removes n and then its parents, as long as they lead nowhere. */
static void
prune(struct sp_trie *t, struct sp_trie_node *n)
{
    while (n->parent != NULL && n->flags == 0 && n->plus == NULL && n->kids_n == 0) {
        struct sp_trie_node *parent = n->parent;

        if (parent->plus == n) {
            parent->plus = NULL;
        } else {
            sp_trie_kids_remove(parent, n, &t->bytes);
        }
        sp_trie_node_free(n, &t->bytes);
        n = parent;
    }
}

static struct sp_trie_node *
add_child(struct sp_trie *t, struct sp_trie_node *n, struct sp_str level)
{
    struct sp_trie_node *kid = sp_trie_node_new(level, &t->bytes);

    if (kid == NULL) {
        return NULL;
    }
    kid->parent = n;
    if (is_wildcard(level, '+')) {
        n->plus = kid;
    } else if (sp_trie_kids_add(n, kid, &t->bytes) != 0) {
        sp_trie_node_free(kid, &t->bytes);
        return NULL;
    }
    return kid;
}

/* The node of a filter (of its parent level if it ends in '#': *rest); NULL if it is not there, unless `make`. */
static struct sp_trie_node *
find_node(struct sp_trie *t, struct sp_str filter, bool make, bool *rest)
{
    struct sp_trie_node *n = t->root;
    struct span          at = span_at(filter, 0);

    *rest = false;
    for (;; at = span_at(filter, at.end + 1)) {
        struct sp_str        level = span_text(filter, at);
        struct sp_trie_node *kid;

        if (at.end == filter.n && is_wildcard(level, '#')) {
            *rest = true;
            return n;
        }
        kid = is_wildcard(level, '+') ? n->plus : sp_trie_kids_find(n, level);
        if (kid == NULL && make) {
            kid = add_child(t, n, level);
            if (kid == NULL) {
                prune(t, n);
            }
        }
        if (kid == NULL || at.end == filter.n) {
            return kid;
        }
        n = kid;
    }
}

void **
sp_trie_put(struct sp_trie *t, struct sp_str filter)
{
    bool                 rest;
    struct sp_trie_node *n = find_node(t, filter, true, &rest);
    uint8_t              flag = rest ? SP_TRIE_REST : SP_TRIE_VALUE;

    if (n == NULL) {
        return NULL;
    }
    if ((n->flags & flag) == 0) {
        n->flags |= flag;
        t->count++;
    }
    return rest ? &n->rest : &n->value;
}

void *
sp_trie_get(const struct sp_trie *t, struct sp_str filter)
{
    bool                 rest;
    struct sp_trie_node *n = find_node((struct sp_trie *)t, filter, false, &rest); /* does not change it */

    return n == NULL ? NULL : rest ? n->rest : n->value;
}

void *
sp_trie_remove(struct sp_trie *t, struct sp_str filter)
{
    bool                 rest;
    struct sp_trie_node *n = find_node(t, filter, false, &rest);
    uint8_t              flag = rest ? SP_TRIE_REST : SP_TRIE_VALUE;
    void                *value;

    if (n == NULL || (n->flags & flag) == 0) {
        return NULL;
    }
    value = rest ? n->rest : n->value;
    *(rest ? &n->rest : &n->value) = NULL;
    n->flags &= (uint8_t)~flag;
    t->count--;
    prune(t, n);
    return value;
}

/* ---- look-ups ---- */

static bool
is_leaf(const struct sp_trie_node *n)
{
    return n->plus == NULL && n->kids_n == 0;
}

void
sp_trie_match(const struct sp_trie *t, struct sp_str topic, void (*fn)(void *value, void *arg), void *arg)
{
    const struct sp_trie_node *n = t->root, *kid;
    struct span                at = span_at(topic, 0);
    bool                       hidden = is_hidden(topic.p, topic.n);

    if (!hidden && n->rest != NULL) {
        fn(n->rest, arg);
    }
    kid = hidden ? NULL : n->plus;
    kid = kid != NULL ? kid : sp_trie_kids_find(n, span_text(topic, at));
    for (;;) {
        if (kid != NULL) {
            if (kid->rest != NULL) { /* MQTT 5 4.7.1.2: '#' includes the parent level */
                fn(kid->rest, arg);
            }
            if (at.end == topic.n && kid->value != NULL) {
                fn(kid->value, arg);
            }
            if (at.end < topic.n && !is_leaf(kid)) { /* down */
                n = kid;
                at = span_at(topic, at.end + 1);
                kid = n->plus != NULL ? n->plus : sp_trie_kids_find(n, span_text(topic, at));
                continue;
            }
        }
        while (kid == NULL || kid != n->plus) { /* up, until a '+' was left behind: its literal sibling is next */
            if (n->parent == NULL) {
                return;
            }
            kid = n;
            n = n->parent;
            at = span_before(topic, at);
        }
        kid = sp_trie_kids_find(n, span_text(topic, at));
    }
}

struct visit {
    bool (*fn)(void *value, void *arg);
    void *arg;
};

static bool
visit_node(const struct visit *v, const struct sp_trie_node *n)
{
    return (n->value == NULL || v->fn(n->value, v->arg)) && (n->rest == NULL || v->fn(n->rest, v->arg));
}

/* The next literal child from slot i on that has children itself; leaves on the way are visited at once. */
static bool
visit_leaves(const struct visit *v, const struct sp_trie_node *n, uint32_t i, bool hidden,
             const struct sp_trie_node **inner)
{
    *inner = NULL;
    for (; i < n->kids_cap; i++) {
        const struct sp_trie_node *kid = sp_trie_kids_slot(n, i);

        if (kid == NULL || (!hidden && is_hidden(kid->text, kid->text_n))) {
            continue;
        }
        if (!visit_node(v, kid)) {
            return false;
        }
        if (!is_leaf(kid)) {
            *inner = kid;
            return true;
        }
    }
    return true;
}

/* Everything below `top`; without the `$` names right below it unless `hidden`. False when fn stopped it. */
static bool
visit_below(const struct visit *v, const struct sp_trie_node *top, bool hidden)
{
    const struct sp_trie_node *n = top, *kid = top->plus;
    uint32_t                   i = 0;

    if (kid != NULL && !visit_node(v, kid)) {
        return false;
    }
    for (;;) {
        if (kid == NULL && !visit_leaves(v, n, i, hidden || n != top, &kid)) {
            return false;
        }
        if (kid != NULL) { /* down */
            n = kid;
            i = 0;
            kid = n->plus;
            if (kid != NULL && !visit_node(v, kid)) {
                return false;
            }
            continue;
        }
        if (n == top) {
            return true;
        }
        kid = n; /* up, to the sibling behind */
        n = n->parent;
        i = n->plus == kid ? 0 : sp_trie_kids_index(n, kid) + 1;
        kid = NULL;
    }
}

void
sp_trie_walk(const struct sp_trie *t, bool (*fn)(void *value, void *arg), void *arg)
{
    struct visit v = {fn, arg};

    if (visit_node(&v, t->root)) {
        (void)visit_below(&v, t->root, true);
    }
}

/* The first literal child from slot i on that a '+' may stand for. */
static const struct sp_trie_node *
next_name(const struct sp_trie_node *n, uint32_t i)
{
    for (; i < n->kids_cap; i++) {
        const struct sp_trie_node *kid = sp_trie_kids_slot(n, i);

        if (kid != NULL && (n->parent != NULL || !is_hidden(kid->text, kid->text_n))) {
            return kid;
        }
    }
    return NULL;
}

/* A filter's last '+': the names right below n. */
static bool
visit_names(const struct visit *v, const struct sp_trie_node *n)
{
    for (uint32_t i = 0; i < n->kids_cap; i++) {
        const struct sp_trie_node *kid = sp_trie_kids_slot(n, i);

        if (kid != NULL && kid->value != NULL && (n->parent != NULL || !is_hidden(kid->text, kid->text_n)) &&
            !v->fn(kid->value, v->arg)) {
            return false;
        }
    }
    return true;
}

void
sp_trie_search(const struct sp_trie *t, struct sp_str filter, bool (*fn)(void *value, void *arg), void *arg)
{
    struct visit               v = {fn, arg};
    const struct sp_trie_node *n = t->root, *kid;
    struct span                at = span_at(filter, 0);

    for (;;) {
        struct sp_str level = span_text(filter, at);
        bool          last = at.end == filter.n;

        kid = NULL;
        if (last && is_wildcard(level, '#')) {
            if ((n->value != NULL && !fn(n->value, arg)) || !visit_below(&v, n, n->parent != NULL)) {
                return;
            }
        } else if (last && is_wildcard(level, '+')) {
            if (!visit_names(&v, n)) {
                return;
            }
        } else if (is_wildcard(level, '+')) {
            kid = next_name(n, 0);
        } else {
            kid = sp_trie_kids_find(n, level);
            if (last && kid != NULL) {
                if (kid->value != NULL && !fn(kid->value, arg)) {
                    return;
                }
                kid = NULL;
            }
        }
        while (kid == NULL) { /* up, to a '+' that has more to stand for */
            const struct sp_trie_node *was = n;

            if (n->parent == NULL) {
                return;
            }
            n = n->parent;
            at = span_before(filter, at);
            if (is_wildcard(span_text(filter, at), '+')) {
                kid = next_name(n, sp_trie_kids_index(n, was) + 1);
            }
        }
        n = kid; /* down */
        at = span_at(filter, at.end + 1);
    }
}
