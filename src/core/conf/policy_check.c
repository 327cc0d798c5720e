#include <errno.h>
#include <stdlib.h>

#include "base/topic.h"
#include "conf/fold.h"
#include "conf/provenance.h"
#include "conf/registry.h"
#include "conf/schema.h"

/* Pairs of topic blocks that are compared in one realm and for one directive. Beyond them the fold still holds the
 * floor; it is only not reported before the gateway runs. */
#define PAIRS_MAX 1000000u
#define WORDS_CAP 96

static int
report_floor(struct sp_build *b, const struct sp_value *v, const struct sp_value *floor)
{
    char words[WORDS_CAP], limit[WORDS_CAP];

    (void)sp_build_error(b, v->node, 1, NULL, "%s %s loosens the floor %s of the level %s", v->directive->name,
                         sp_value_words(words, sizeof(words), v), sp_value_words(limit, sizeof(limit), floor),
                         sp_level_name(floor->level));
    sp_build_note(b, floor->node, 1, "the floor is set here");
    return -EINVAL;
}

static void
warn_looser(struct sp_build *b, const struct sp_value *v, const struct sp_value *outer)
{
    char words[WORDS_CAP], limit[WORDS_CAP];

    sp_build_warn(b, v->node, 1, NULL, "%s %s has no effect: the stricter %s of the level %s holds", v->directive->name,
                  sp_value_words(words, sizeof(words), v), sp_value_words(limit, sizeof(limit), outer),
                  sp_level_name(outer->level));
    sp_build_note(b, outer->node, 1, "the stricter value is set here");
}

/* What a block cuts off or adds while a floor holds the list. */
static int
check_list(struct sp_build *b, const struct sp_block *block, unsigned id, const struct sp_value *floor)
{
    const struct sp_conf_node *node = block->cuts != NULL ? block->cuts[id] : NULL;

    if (node == NULL && block->values[id] != NULL) {
        node = block->values[id]->node;
    }
    if (node == NULL || floor == NULL) {
        return 0;
    }
    (void)sp_build_error(b, node, 0, NULL, "%s is a floor of the level %s and cannot be changed here",
                         floor->directive->name, sp_level_name(floor->level));
    sp_build_note(b, floor->node, 0, "the floor is set here");
    return -EINVAL;
}

/* One block against the values in force around it. */
static int
check_block(struct sp_build *b, const struct sp_policy *outer, const struct sp_block *block)
{
    unsigned        n;
    const unsigned *ids = sp_registry_policy_ids(b->registry, &n);
    int             err = 0;

    for (unsigned i = 0; i < n; i++) {
        const struct sp_value *v = block->values[ids[i]], *around = outer->values[ids[i]];
        const struct sp_value *floor = sp_fold_floor(around);

        if (sp_registry_at(b->registry, ids[i])->merge == SP_EXTEND) {
            err = check_list(b, block, ids[i], floor) < 0 ? -EINVAL : err;
        } else if (v == NULL || around == NULL || around->level == SP_LEVEL_DEFAULT) {
            continue;
        } else if (floor != NULL && sp_fold_looser(v, floor)) {
            err = report_floor(b, v, floor);
        } else if (v->directive->merge == SP_STRICTEST && sp_fold_looser(v, around)) {
            warn_looser(b, v, around);
        }
    }
    return err;
}

/* The blocks of a realm that hold a value for one directive. */
struct holders {
    const struct sp_block **blocks;
    unsigned                n, cap;
};

static void
collect(struct holders *h, const struct sp_block *realm, const char *context, unsigned id)
{
    h->n = 0;
    for (const struct sp_block *t = sp_block_first(realm, context); t != NULL; t = sp_block_next(t)) {
        if (t->values[id] == NULL) {
            continue;
        }
        if (h->n == h->cap) {
            unsigned cap = h->cap == 0 ? 32 : h->cap * 2;
            void    *p = realloc(h->blocks, cap * sizeof(*h->blocks));
            if (p == NULL) {
                abort(); /* as arenas do */
            }
            h->blocks = p;
            h->cap = cap;
        }
        h->blocks[h->n++] = t;
    }
}

static struct sp_str
filter_of(const struct sp_block *topic)
{
    return topic->node->args[1].text;
}

/* A topic block against another one that is less specific. */
static int
check_topics(struct sp_build *b, const struct sp_block *inner, const struct sp_block *outer, unsigned id)
{
    const struct sp_value *v = inner->values[id], *o = outer->values[id];

    if (inner == outer || !sp_fold_looser(v, o)) {
        return 0;
    }
    if (o->floor && sp_topic_specificity(filter_of(inner), filter_of(outer)) >= 0 &&
        sp_topic_filters_overlap(filter_of(inner), filter_of(outer))) {
        return report_floor(b, v, o);
    }
    if (v->directive->merge == SP_STRICTEST && !o->floor &&
        sp_topic_filter_covers(filter_of(outer), filter_of(inner))) {
        warn_looser(b, v, o);
    }
    return 0;
}

static int
check_realm_pairs(struct sp_build *b, const struct sp_block *realm, unsigned id, struct holders *topics,
                  struct holders *applications)
{
    const struct sp_directive *d = sp_registry_at(b->registry, id);
    unsigned                   pairs = 0;
    int                        err = 0;

    collect(topics, realm, "topic", id);
    if (topics->n == 0) {
        return 0;
    }
    collect(applications, realm, "application", id);
    for (unsigned o = 0; o < topics->n; o++) {
        const struct sp_value *v = topics->blocks[o]->values[id];

        if (d->merge == SP_EXTEND || (!v->floor && d->merge != SP_STRICTEST)) {
            continue;
        }
        pairs += topics->n + applications->n;
        if (pairs > PAIRS_MAX) {
            break;
        }
        for (unsigned i = 0; i < topics->n; i++) {
            err = check_topics(b, topics->blocks[i], topics->blocks[o], id) < 0 ? -EINVAL : err;
        }
        for (unsigned i = 0; i < applications->n && v->floor; i++) {
            const struct sp_value *a = applications->blocks[i]->values[id];
            err = sp_fold_looser(a, v) ? report_floor(b, a, v) : err;
        }
    }
    return err;
}

int
sp_policy_check(struct sp_build *b)
{
    struct sp_path          path = {0};
    const struct sp_policy *global = sp_policy_fold(b->snapshot, &path);
    struct holders          topics = {0}, applications = {0};
    unsigned                n;
    const unsigned         *ids = sp_registry_policy_ids(b->registry, &n);
    int                     err = 0;

    for (const struct sp_block *r = sp_block_first(b->snapshot->main, "realm"); r != NULL; r = sp_block_next(r)) {
        const struct sp_policy *realm;

        path.realm = r;
        realm = sp_policy_fold(b->snapshot, &path);
        err = check_block(b, global, r) < 0 ? -EINVAL : err;
        for (const struct sp_block *t = r->children; t != NULL; t = t->next) {
            if (sp_context_level(t->context) != SP_LEVEL_GLOBAL) {
                err = check_block(b, realm, t) < 0 ? -EINVAL : err;
            }
        }
        for (unsigned i = 0; i < n; i++) {
            err = check_realm_pairs(b, r, ids[i], &topics, &applications) < 0 ? -EINVAL : err;
        }
    }
    free(topics.blocks);
    free(applications.blocks);
    return err;
}
