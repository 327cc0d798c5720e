#include "conf/fold.h"

#include <errno.h>

#include "base/hash.h"
#include "conf/provenance.h"
#include "conf/registry.h"

/* A fold is that of the outer path and one block more; so the key is that pair, and paths share what they have in common. */
struct entry {
    const void      *key[2]; /* outer policy, block */
    struct sp_policy policy;
};

struct sp_fold_memo {
    struct sp_map    map;
    struct sp_arena *arena;
    struct sp_policy base; /* the built-in defaults */
    /* the policy block, once it was looked for: main may hold very many others */
    const struct sp_block *global;
    bool                   looked;
};

static void
memo_clear(void *arg)
{
    struct sp_fold_memo *m = arg;

    sp_map_clear(&m->map);
}

void
sp_fold_init(struct sp_snapshot *s)
{
    struct sp_fold_memo *m = sp_arena_alloc(s->arena, sizeof(*m));
    unsigned             n;
    const unsigned      *ids = sp_registry_policy_ids(s->registry, &n);

    m->arena = s->arena;
    m->base.generation = s->generation;
    m->base.nvalues = sp_registry_count(s->registry);
    m->base.values = sp_arena_array(s->arena, m->base.nvalues, sizeof(*m->base.values));
    for (unsigned i = 0; i < n; i++) {
        m->base.values[ids[i]] = s->defaults[ids[i]];
    }
    sp_arena_defer(s->arena, memo_clear, m);
    s->folds = m;
}

bool
sp_fold_looser(const struct sp_value *v, const struct sp_value *than)
{
    const struct sp_type *type = v->directive->type;

    return type->compare != NULL && v->directive->merge != SP_EXTEND ? type->compare(v, than) > 0
                                                                     : !sp_value_same(v, than);
}

const struct sp_value *
sp_fold_floor(const struct sp_value *v)
{
    const struct sp_value *floor = NULL;

    for (; v != NULL; v = v->outer) {
        if (v->floor && (floor == NULL || sp_fold_looser(floor, v))) {
            floor = v;
        }
    }
    return floor;
}

static const struct sp_block *
policy_block(const struct sp_snapshot *s)
{
    struct sp_fold_memo *m = s->folds;

    if (!m->looked) {
        m->global = sp_block_first(s->main, "policy");
        m->looked = true;
    }
    return m->global;
}

static struct sp_value *
copy(struct sp_fold_memo *m, const struct sp_value *v, const struct sp_value *outer)
{
    struct sp_value *c = sp_arena_alloc(m->arena, sizeof(*c));

    *c = *v;
    c->outer = outer;
    c->next = NULL;
    return c;
}

static bool
adds(const struct sp_value *elements)
{
    for (; elements != NULL; elements = elements->next) {
        if (elements->node != NULL && elements->node->op == '+') {
            return true;
        }
    }
    return false;
}

/* EXTEND: the outer elements, unless they are cut off; then those of the block. The built-in list stays only if the first
 * level that says anything says `+=`. */
static const struct sp_value *
fold_list(struct sp_fold_memo *m, const struct sp_value *outer, const struct sp_value *elements, bool cut)
{
    struct sp_value *first = NULL, **tail = &first;

    if (cut || (outer != NULL && outer->level == SP_LEVEL_DEFAULT && outer->next == NULL && !adds(elements))) {
        outer = NULL;
    }
    for (; outer != NULL; outer = outer->next) {
        *tail = copy(m, outer, outer->outer);
        tail = (struct sp_value **)(uintptr_t) & (*tail)->next;
    }
    for (; elements != NULL; elements = elements->next) {
        *tail = copy(m, elements, NULL);
        tail = (struct sp_value **)(uintptr_t) & (*tail)->next;
    }
    return first;
}

static const struct sp_value *
fold_value(struct sp_fold_memo *m, const struct sp_value *outer, const struct sp_block *block, unsigned id)
{
    const struct sp_value *v = block->values[id], *floor;
    bool                   cut = block->cuts != NULL && block->cuts[id] != NULL;

    if (v == NULL && !cut) {
        return outer;
    }
    floor = sp_fold_floor(outer);
    if (v == NULL || v->directive->merge == SP_EXTEND) {
        return floor != NULL ? outer : fold_list(m, outer, v, cut);
    }
    if (floor != NULL && sp_fold_looser(v, floor)) {
        return outer; /* only between topic blocks that the build could not compare; the floor holds nevertheless */
    }
    if (v->directive->merge == SP_STRICTEST && outer != NULL && outer->level != SP_LEVEL_DEFAULT &&
        sp_fold_looser(v, outer)) {
        return outer;
    }
    return copy(m, v, outer);
}

static const struct sp_policy *
fold_block(struct sp_snapshot *s, const struct sp_policy *outer, const struct sp_block *block,
           const struct sp_path *path)
{
    struct sp_fold_memo *m = s->folds;
    const void          *key[2] = {outer, block};
    struct sp_str        bytes = {(const char *)key, sizeof(key)};
    struct entry        *e = sp_map_get(&m->map, bytes);
    unsigned             n;
    const unsigned      *ids = sp_registry_policy_ids(s->registry, &n);

    if (e != NULL) {
        return &e->policy;
    }
    e = sp_arena_alloc(m->arena, sizeof(*e));
    memcpy(e->key, key, sizeof(key));
    e->policy = (struct sp_policy){.generation = s->generation, .path = *path, .nvalues = outer->nvalues};
    e->policy.values = sp_arena_array(m->arena, outer->nvalues, sizeof(*e->policy.values));
    for (unsigned i = 0; i < n; i++) {
        e->policy.values[ids[i]] = fold_value(m, outer->values[ids[i]], block, ids[i]);
    }
    bytes.p = (const char *)e->key;
    (void)sp_map_put(&m->map, bytes, e, NULL); /* without memory it is folded again next time */
    return &e->policy;
}

const struct sp_policy *
sp_policy_fold(struct sp_snapshot *s, const struct sp_path *path)
{
    const struct sp_policy *p = &s->folds->base;
    const struct sp_block  *global = policy_block(s);
    struct sp_path          at = {0};

    if (global != NULL) {
        p = fold_block(s, p, global, &at);
    }
    if (path->realm == NULL) {
        return p;
    }
    at.realm = path->realm;
    p = fold_block(s, p, path->realm, &at);
    for (unsigned i = 0; i < path->ntopics; i++) {
        at.topics[at.ntopics++] = path->topics[i];
        p = fold_block(s, p, path->topics[i], &at);
    }
    if (path->application != NULL) {
        at.application = path->application;
        p = fold_block(s, p, path->application, &at);
    }
    return p;
}
