#include <errno.h>
#include <stdlib.h>

#include "base/topic.h"
#include "conf/text.h"
#include "modules/policy_resolver/realm.h"

#define STEPS_MAX 500000u /* of the search for topics that too many blocks match */

struct check {
    struct sp_build        *b;
    const struct sp_realms *all;
    const struct sp_realm  *realm;
    struct sp_scratch       scratch;
};

struct find {
    const struct sp_realm *realm;
    bool                   found;
};

static bool
find_own(const struct sp_claim *c, void *arg)
{
    struct find *f = arg;

    f->found = f->found || c->realm == f->realm;
    return !f->found;
}

static bool
lies_outside(const struct check *c, struct sp_str filter)
{
    struct find f = {c->realm, false};

    sp_realms_overlapping(c->all, filter, find_own, &f);
    return !f.found;
}

static bool
has_topics(const struct sp_realms *all, const struct sp_realm *r)
{
    for (unsigned i = 0; i < all->nclaims; i++) {
        if (all->claims[i].realm == r) {
            return true;
        }
    }
    return false;
}

/* Filters that can never match: a mistake that is easily made and hard to see. */
static void
check_rules(struct check *c, const struct sp_scope *s)
{
    char shown[200];

    for (unsigned i = 0; i < s->nrules; i++) {
        const struct sp_rule *r = &s->rules[i];
        for (unsigned f = 0; f < r->said->nfilters; f++) {
            const struct sp_template *t = &r->said->filters[f];
            struct sp_str             widest;

            if (!sp_template_widest(t, &c->scratch, &widest)) {
                continue;
            }
            if (s->level == SP_LEVEL_TOPIC && !sp_topic_filters_overlap(widest, s->filter)) {
                sp_build_warn(c->b, r->node, f + SP_RULE_FILTER_ARG, NULL,
                              "%s can never match: it lies outside the topic block",
                              sp_word_quote(shown, sizeof(shown), t->text));
                sp_build_note(c->b, s->block->node, 1, "the block is here");
            } else if (lies_outside(c, widest)) {
                sp_build_warn(c->b, r->node, f + SP_RULE_FILTER_ARG,
                              "expected a filter that the realm's `topics` have something in common with",
                              "%s can never match: it lies outside the topics of realm %.*s",
                              sp_word_quote(shown, sizeof(shown), t->text), SP_STR_ARG(c->realm->name));
            }
        }
    }
}

/* ---- is there a topic that more than 16 blocks match? ---- */

struct item {                           /* a block's filter, from the level on that the search has come to */
    struct sp_str          level, rest; /* rest.p: NULL behind the last level */
    const struct sp_scope *block;
};

struct search {
    struct sp_arena       *arena;
    const struct sp_scope *culprit;
    unsigned               steps;
};

static int
by_level(const void *a, const void *b)
{
    return sp_str_cmp(((const struct item *)a)->level, ((const struct item *)b)->level);
}

/* Moves the items a level on: literals to the front, behind them those with `+`; what ends or takes all the rest leaves. */
static void
advance(const struct item *items, unsigned n, struct item *out, unsigned *literals, unsigned *any, unsigned *rest,
        unsigned *ended)
{
    unsigned back = n;

    *literals = *any = *rest = *ended = 0;
    for (unsigned i = 0; i < n; i++) {
        struct item it = items[i];

        if (it.rest.p == NULL) {
            (*ended)++;
        } else if (sp_str_is(it.rest, "#")) {
            (*rest)++;
        } else {
            it.level = sp_str_cut(&it.rest, '/');
            if (sp_str_is(it.level, "+")) {
                out[--back] = it;
                (*any)++;
            } else {
                out[(*literals)++] = it;
            }
        }
    }
    memmove(&out[*literals], &out[back], *any * sizeof(*out));
}

/* All items agree on the levels before; `sure` blocks match whatever follows. */
static bool
too_many(struct search *s, const struct item *items, unsigned n, unsigned sure)
{
    struct item *next;
    unsigned     literals, any, rest, ended, to;

    if (sure + n <= SP_PATH_TOPICS_MAX) {
        return false;
    }
    s->culprit = items[n - 1].block;
    s->steps += n;
    if (s->steps > STEPS_MAX) {
        return true;
    }
    next = sp_arena_array(s->arena, 2 * (size_t)n, sizeof(*next));
    advance(items, n, next, &literals, &any, &rest, &ended);
    sure += rest;
    if (sure + ended > SP_PATH_TOPICS_MAX) {
        return true;
    }
    if (literals == 0) {
        return any > 0 && too_many(s, next, any, sure);
    }
    qsort(next, literals, sizeof(*next), by_level);
    for (unsigned from = 0; from < literals; from = to) {
        struct item *group = &next[literals + any]; /* this literal's items and all with `+`, in the second half */

        for (to = from + 1; to < literals && sp_str_eq(next[to].level, next[from].level); to++) {
        }
        memcpy(group, &next[from], (to - from) * sizeof(*group));
        memcpy(group + (to - from), &next[literals], any * sizeof(*group));
        if (too_many(s, group, to - from + any, sure)) {
            return true;
        }
    }
    return false;
}

static int
check_depth(struct check *c)
{
    const struct sp_realm *r = c->realm;
    struct search          s = {0};
    struct item           *items;
    bool                   found;

    if (r->ntopics <= SP_PATH_TOPICS_MAX) {
        return 0;
    }
    if (sp_arena_create(&s.arena) < 0) {
        return sp_build_error(c->b, NULL, 0, NULL, "out of memory");
    }
    items = sp_arena_array(s.arena, r->ntopics, sizeof(*items));
    for (unsigned i = 0; i < r->ntopics; i++) {
        items[i] = (struct item){.rest = r->topics[i].filter, .block = &r->topics[i]};
    }
    found = too_many(&s, items, r->ntopics, 0);
    sp_arena_destroy(s.arena);
    if (!found) {
        return 0;
    }
    (void)sp_build_error(c->b, s.culprit->block->node, 1, "expected fewer topic blocks, or filters that overlap less",
                         s.steps > STEPS_MAX ? "the topic blocks of realm %.*s overlap in too many ways"
                                             : "more than 16 topic blocks of realm %.*s match one topic",
                         SP_STR_ARG(r->name));
    return -EINVAL;
}

int
sp_realm_check(struct sp_build *b, const struct sp_realms *all, const struct sp_realm *r)
{
    struct check c = {b, all, r, {NULL, 0}};
    char         shown[200];
    int          err = check_depth(&c);

    if (has_topics(all, r)) { /* else that has been said, and is reason enough */
        check_rules(&c, &r->scope);
        for (unsigned i = 0; i < r->ntopics; i++) {
            if (lies_outside(&c, r->topics[i].filter)) {
                sp_build_warn(b, r->topics[i].block->node, 1, NULL,
                              "%s can never match: it lies outside the topics of realm %.*s",
                              sp_word_quote(shown, sizeof(shown), r->topics[i].filter), SP_STR_ARG(r->name));
            } else {
                check_rules(&c, &r->topics[i]);
            }
        }
        for (unsigned i = 0; i < r->napplications; i++) {
            check_rules(&c, &r->applications[i]);
        }
    }
    sp_scratch_free(&c.scratch);
    return err;
}
