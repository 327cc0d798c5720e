#include "modules/policy_resolver/filterset.h"

#include <stdlib.h>

#include "base/topic.h"

#define TRIE_FROM 24 /* plain filters: from about here on, walking down a trie is quicker than trying each */

static bool
is_dynamic(const struct sp_filter_entry *e)
{
    return e->filter->plain.p == NULL || e->subject_capture > 0;
}

static int
compare(const void *a, const void *b)
{
    const struct sp_filter_entry *x = a, *y = b;
    int                           order = (int)is_dynamic(y) - (int)is_dynamic(x);

    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static void
destroy_trie(void *trie)
{
    sp_trie_destroy(trie);
}

static bool
fill_trie(struct sp_filter_set *set)
{
    for (unsigned i = set->count;
         i-- > set->dynamic;) { /* backwards: chains then begin with what comes first in the file */
        struct sp_filter_entry *e = &set->entries[i];
        void                  **place = sp_trie_put(set->trie, e->filter->plain);

        if (place == NULL) {
            return false;
        }
        e->same = *place;
        *place = e;
    }
    return true;
}

void
sp_filter_set_build(struct sp_arena *a, struct sp_filter_entry *entries, unsigned count, bool strict,
                    struct sp_filter_set *out)
{
    *out = (struct sp_filter_set){.entries = entries, .count = count, .strict = strict};
    if (count > 1) {
        qsort(entries, count, sizeof(*entries), compare);
    }
    while (out->dynamic < count && is_dynamic(&entries[out->dynamic])) {
        out->dynamic++;
    }
    if (count - out->dynamic < TRIE_FROM || sp_trie_create(&out->trie) < 0) {
        return;
    }
    if (!fill_trie(out)) {
        sp_trie_destroy(out->trie);
        out->trie = NULL;
        return;
    }
    sp_arena_defer(a, destroy_trie, out->trie);
}

static void
take(const struct sp_filter_entry *e, struct sp_filter_hit *hit)
{
    const struct sp_filter_entry **place = e->deny ? &hit->deny : &hit->allow;

    if (*place == NULL || e->order < (*place)->order) {
        *place = e;
    }
}

static bool
concerns(const struct sp_filter_entry *e, const struct sp_question *q)
{
    return e->deny ? e->actions == 0 || (e->actions & q->action) != 0 : (e->actions & q->action) != 0;
}

static void
capture(struct sp_question *q)
{
    if (q->captured != q->around) {
        q->captured = q->around;
        q->ncaptures = sp_topic_match_captures(*q->around, q->topic, q->captures, SP_CAPTURES_MAX);
        if (q->ncaptures > SP_CAPTURES_MAX) {
            q->ncaptures = SP_CAPTURES_MAX;
        }
    }
}

static bool
dynamic_matches(const struct sp_filter_set *set, const struct sp_filter_entry *e, struct sp_question *q)
{
    struct sp_references r = {q->identity, q->client, NULL, 0, NULL, set->strict && !e->deny};
    struct sp_str        filter;

    if (e->filter->max_capture > 0 || e->subject_capture > 0) {
        if (q->around == NULL) {
            return false;
        }
        capture(q);
        r.captures = q->captures;
        r.ncaptures = q->ncaptures;
        if (e->subject_capture > 0 &&
            (e->subject_capture > q->ncaptures || !sp_str_eq(q->captures[e->subject_capture - 1], q->identity))) {
            return false;
        }
    }
    return sp_template_filter(e->filter, &r, q->scratch, &filter) && sp_topic_matches(filter, q->topic);
}

struct visit {
    struct sp_question   *q;
    struct sp_filter_hit *hit;
};

static void
visit_chain(void *value, void *arg)
{
    struct visit *v = arg;

    for (const struct sp_filter_entry *e = value; e != NULL; e = e->same) {
        if (concerns(e, v->q)) {
            take(e, v->hit);
        }
    }
}

void
sp_filter_set_ask(const struct sp_filter_set *set, struct sp_question *q, struct sp_filter_hit *hit)
{
    struct visit v = {q, hit};

    for (unsigned i = 0; i < set->dynamic; i++) {
        const struct sp_filter_entry *e = &set->entries[i];
        if (concerns(e, q) && dynamic_matches(set, e, q)) {
            take(e, hit);
        }
    }
    if (set->trie != NULL) {
        sp_trie_match(set->trie, q->topic, visit_chain, &v);
        return;
    }
    for (unsigned i = set->dynamic; i < set->count; i++) {
        const struct sp_filter_entry *e = &set->entries[i];
        if (concerns(e, q) && sp_topic_matches(e->filter->plain, q->topic)) {
            take(e, hit);
        }
    }
}
