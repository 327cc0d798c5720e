#include "modules/policy_resolver/realm.h"

#include <errno.h>
#include <stdlib.h>

#include "base/topic.h"
#include "conf/snapshot.h"
#include "conf/text.h"

#define TRIE_FROM 12 /* topic blocks of a realm */

/* ---- building ---- */

static unsigned
count_blocks(const struct sp_block *parent, const char *context)
{
    unsigned n = 0;

    for (const struct sp_block *c = sp_block_first(parent, context); c != NULL; c = sp_block_next(c)) {
        n++;
    }
    return n;
}

static void
destroy_trie(void *trie)
{
    sp_trie_destroy(trie);
}

static int
make_trie(struct sp_build *b, struct sp_trie **out)
{
    if (sp_trie_create(out) < 0) {
        return sp_build_error(b, NULL, 0, NULL, "out of memory");
    }
    sp_arena_defer(b->arena, destroy_trie, *out);
    return 0;
}

/* Least specific first; where the order does not matter (no topic is in both, or neither is narrower), by text. */
static int
by_specificity(const void *a, const void *b)
{
    const struct sp_block *x = *(const struct sp_block *const *)a, *y = *(const struct sp_block *const *)b;
    struct sp_str          f = x->node->args[1].text, g = y->node->args[1].text;
    int                    order = sp_topic_specificity(f, g);

    return order != 0 ? order : sp_str_cmp(f, g);
}

static int
build_topics(struct sp_build *b, struct sp_subjects *subjects, struct sp_realm *r)
{
    const struct sp_block  *block = r->scope.block, *c;
    const struct sp_block **sorted;
    int                     err = 0;

    r->topics = sp_arena_array(b->arena, count_blocks(block, "topic") + 1, sizeof(*r->topics));
    sorted = sp_arena_array(b->arena, count_blocks(block, "topic") + 1, sizeof(struct sp_block *));
    for (c = sp_block_first(block, "topic"); c != NULL; c = sp_block_next(c)) {
        if (sp_topic_filter_valid(c->node->args[1].text, SP_FILTER_LEVELS_MAX)) { /* else the core has reported it */
            sorted[r->ntopics++] = c;
        }
    }
    if (r->ntopics > 1) {
        qsort(sorted, r->ntopics, sizeof(*sorted), by_specificity);
    }
    for (unsigned i = 0; i < r->ntopics; i++) {
        if (sp_scope_build(b, subjects, sorted[i], SP_LEVEL_TOPIC, &r->topics[i]) < 0) {
            err = -EINVAL;
        }
    }
    if (r->ntopics < TRIE_FROM || make_trie(b, &r->topic_trie) < 0) {
        return err;
    }
    for (unsigned i = 0; i < r->ntopics; i++) {
        void **place = sp_trie_put(r->topic_trie, r->topics[i].filter);
        if (place == NULL) {
            return sp_build_error(b, NULL, 0, NULL, "out of memory");
        }
        *place = &r->topics[i];
    }
    return err;
}

static int
build_realm(struct sp_build *b, struct sp_subjects *subjects, const struct sp_block *block, struct sp_realm *r)
{
    const struct sp_block *c;
    int                    err = sp_scope_build(b, subjects, block, SP_LEVEL_REALM, &r->scope);

    r->name = block->node->args[1].text;
    r->label = sp_str_c(sp_arena_printf(b->arena, "realm %.*s", SP_STR_ARG(r->name)));
    if (build_topics(b, subjects, r) < 0) {
        err = -EINVAL;
    }
    r->applications = sp_arena_array(b->arena, count_blocks(block, "application") + 1, sizeof(*r->applications));
    for (c = sp_block_first(block, "application"); c != NULL; c = sp_block_next(c)) {
        if (sp_scope_build(b, subjects, c, SP_LEVEL_APPLICATION, &r->applications[r->napplications++]) < 0) {
            err = -EINVAL;
        }
    }
    return err;
}

static struct sp_str
literal_prefix(struct sp_str filter)
{
    struct sp_str rest = filter;

    while (rest.p != NULL) {
        struct sp_str level = sp_str_cut(&rest, '/');
        if (sp_topic_has_wildcard(level)) {
            size_t n = (size_t)(level.p - filter.p);
            return (struct sp_str){filter.p, n > 0 ? n - 1 : 0};
        }
    }
    return filter;
}

static int
by_prefix(const void *a, const void *b)
{
    const struct sp_claim *x = a, *y = b;
    int                    order = sp_str_cmp(x->prefix, y->prefix);

    return order != 0 ? order : sp_str_cmp(x->filter, y->filter);
}

static int
put_claim(struct sp_build *b, struct sp_realms *all, struct sp_claim *c)
{
    struct sp_claim **place = (struct sp_claim **)sp_trie_put(all->trie, c->filter), *first;
    char              shown[200];

    if (place == NULL) {
        return sp_build_error(b, NULL, 0, NULL, "out of memory");
    }
    first = *place;
    if (first == NULL) {
        *place = c;
        return 0;
    }
    if (first->realm == c->realm) {
        sp_build_warn(b, c->node, c->arg, NULL, "%s is here twice", sp_word_quote(shown, sizeof(shown), c->filter));
        return 0;
    }
    (void)sp_build_error(b, c->node, c->arg, "a topic belongs to one realm: the one with the most specific filter",
                         "the realms %.*s and %.*s have the same filter %s", SP_STR_ARG(first->realm->name),
                         SP_STR_ARG(c->realm->name), sp_word_quote(shown, sizeof(shown), c->filter));
    sp_build_note(b, first->node, first->arg, "the other one is here");
    return -EINVAL;
}

/* The valid filters of a realm; with out == NULL they are only counted. */
static unsigned
list_claims(const struct sp_build *b, struct sp_realm *r, struct sp_claim *out)
{
    unsigned n = 0;

    for (const struct sp_value *v = sp_block_value(b->snapshot, r->scope.block, "topics"); v != NULL; v = v->next) {
        for (unsigned i = 1; i < v->node->nargs; i++) {
            struct sp_str filter = v->node->args[i].text;
            if (out != NULL) {
                out[n] = (struct sp_claim){filter, literal_prefix(filter), r, v->node, i};
            }
            n++;
        }
    }
    return n;
}

static int
build_claims(struct sp_build *b, struct sp_realms *all)
{
    unsigned n = 0;
    int      err = 0;

    for (unsigned i = 0; i < all->nrealms; i++) {
        unsigned own = list_claims(b, &all->realms[i], NULL);
        if (own == 0) {
            sp_build_warn(b, all->realms[i].scope.block->node, 1, "expected a `topics` statement in it",
                          "the realm claims no topic: nothing in it can take effect");
        }
        n += own;
    }
    all->claims = sp_arena_array(b->arena, n + 1, sizeof(*all->claims));
    for (unsigned i = 0; i < all->nrealms; i++) {
        all->nclaims += list_claims(b, &all->realms[i], &all->claims[all->nclaims]);
    }
    struct sp_claim *in_order = sp_arena_array(b->arena, n + 1, sizeof(*in_order));
    memcpy(in_order, all->claims, n * sizeof(*in_order));
    for (unsigned i = 0; i < n;
         i++) { /* in the order of the file, so that errors name the later one as the wrong one */
        if (put_claim(b, all, &in_order[i]) < 0) {
            err = -EINVAL;
        }
    }
    if (n > 1) {
        qsort(all->claims, n, sizeof(*all->claims), by_prefix);
    }
    return err;
}

int
sp_realms_build(struct sp_build *b, struct sp_subjects *subjects, struct sp_realms *out)
{
    const struct sp_block *main = b->snapshot->main, *c;
    int                    err = 0;

    *out = (struct sp_realms){0};
    if (make_trie(b, &out->trie) < 0) {
        return -ENOMEM;
    }
    out->realms = sp_arena_array(b->arena, count_blocks(main, "realm") + 1, sizeof(*out->realms));
    for (c = sp_block_first(main, "realm"); c != NULL; c = sp_block_next(c)) {
        if (build_realm(b, subjects, c, &out->realms[out->nrealms++]) < 0) {
            err = -EINVAL;
        }
    }
    if (build_claims(b, out) < 0) {
        err = -EINVAL;
    }
    for (unsigned i = 0; i < out->nrealms; i++) {
        if (sp_realm_check(b, out, &out->realms[i]) < 0) {
            err = -EINVAL;
        }
    }
    return err;
}

/* ---- finding ---- */

static void
take_claim(void *value, void *arg)
{
    const struct sp_claim  *c = value;
    const struct sp_claim **best = arg;

    if (*best == NULL || sp_topic_specificity(c->filter, (*best)->filter) > 0) {
        *best = c;
    }
}

static void
take_topic(void *value, void *arg)
{
    struct sp_place       *p = arg;
    const struct sp_scope *s = value;
    unsigned               i = p->ntopics;

    if (i == SP_PATH_TOPICS_MAX) { /* the build has seen to it that this cannot be */
        return;
    }
    for (; i > 0 && p->topics[i - 1] > s; i--) { /* they lie in the order of specificity */
        p->topics[i] = p->topics[i - 1];
    }
    p->topics[i] = s;
    p->ntopics++;
}

static void
take_application(const struct sp_realm *r, struct sp_str application, struct sp_place *out)
{
    for (unsigned i = 0; application.n > 0 && i < r->napplications; i++) {
        if (sp_str_eq(r->applications[i].block->node->args[1].text, application)) {
            out->application = &r->applications[i];
        }
    }
}

void
sp_realms_locate(const struct sp_realms *r, struct sp_str topic, struct sp_str application, struct sp_place *out)
{
    const struct sp_realm *realm;

    out->claim = NULL;
    out->ntopics = 0;
    out->application = NULL;
    sp_trie_match(r->trie, topic, take_claim, &out->claim);
    if (out->claim == NULL) {
        return;
    }
    realm = out->claim->realm;
    if (realm->topic_trie != NULL) {
        sp_trie_match(realm->topic_trie, topic, take_topic, out);
    } else {
        for (unsigned i = 0; i < realm->ntopics; i++) {
            if (sp_topic_matches(realm->topics[i].filter, topic)) {
                take_topic(&realm->topics[i], out);
            }
        }
    }
    take_application(realm, application, out);
}

struct cover {
    struct sp_str          filter;
    const struct sp_claim *best;
};

static bool
take_cover(const struct sp_claim *c, void *arg)
{
    struct cover *v = arg;

    if (sp_topic_filter_covers(c->filter, v->filter)) {
        take_claim((void *)(uintptr_t)c, &v->best);
    }
    return true;
}

void
sp_realms_locate_filter(const struct sp_realms *r, struct sp_str filter, struct sp_str application,
                        struct sp_place *out)
{
    struct cover           v = {filter, NULL};
    const struct sp_realm *realm;

    *out = (struct sp_place){0};
    sp_realms_overlapping(r, filter, take_cover, &v);
    out->claim = v.best;
    if (v.best == NULL) {
        return;
    }
    realm = v.best->realm;
    for (unsigned i = 0; i < realm->ntopics; i++) {
        if (sp_topic_filter_covers(realm->topics[i].filter, filter)) {
            take_topic(&realm->topics[i], out);
        }
    }
    take_application(realm, application, out);
}

/* The first claim whose prefix is not before `key`. */
static unsigned
lower_bound(const struct sp_realms *r, struct sp_str key)
{
    unsigned from = 0, to = r->nclaims;

    while (from < to) {
        unsigned mid = from + (to - from) / 2;
        if (sp_str_cmp(r->claims[mid].prefix, key) < 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from;
}

/*
 * Two filters can only meet when the literal levels at the beginning of one are those of the other, as far as both go. So:
 * claims whose prefix is one of the filter's own beginnings, and claims whose prefix goes on where the filter's ends.
 */
void
sp_realms_overlapping(const struct sp_realms *r, struct sp_str filter, bool (*fn)(const struct sp_claim *c, void *arg),
                      void *arg)
{
    struct sp_str prefix = literal_prefix(filter), shorter = {filter.p, 0};
    unsigned      i = lower_bound(r, shorter);

    for (;;) { /* the claim's prefix ends first, or with the filter's */
        for (; i < r->nclaims && sp_str_eq(r->claims[i].prefix, shorter); i++) {
            if (sp_topic_filters_overlap(r->claims[i].filter, filter) && !fn(&r->claims[i], arg)) {
                return;
            }
        }
        if (shorter.n == prefix.n) {
            break;
        }
        const char *slash =
            shorter.n + 1 > prefix.n ? NULL : memchr(prefix.p + shorter.n + 1, '/', prefix.n - shorter.n - 1);
        shorter = (struct sp_str){prefix.p, slash != NULL ? (size_t)(slash - prefix.p) : prefix.n};
        i = lower_bound(r, shorter);
    }
    if (prefix.n == filter.n) {
        return;
    }
    for (; i < r->nclaims && sp_str_prefix(r->claims[i].prefix, prefix); i++) { /* longer ones */
        if (sp_topic_filters_overlap(r->claims[i].filter, filter) && !fn(&r->claims[i], arg)) {
            return;
        }
    }
}

void
sp_place_path(const struct sp_place *p, struct sp_path *out)
{
    *out = (struct sp_path){.ntopics = p->ntopics};
    out->realm = p->claim == NULL ? NULL : p->claim->realm->scope.block;
    for (unsigned i = 0; i < p->ntopics; i++) {
        out->topics[i] = p->topics[i]->block;
    }
    out->application = p->application == NULL ? NULL : p->application->block;
}
