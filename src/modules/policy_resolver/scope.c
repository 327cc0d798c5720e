#include "modules/policy_resolver/scope.h"

#include <errno.h>
#include <stdlib.h>

#include "conf/registry.h"
#include "conf/snapshot.h"

struct sp_str
sp_where_str(struct sp_arena *a, const struct sp_conf_node *node)
{
    char text[512];

    return node == NULL ? SP_STR("default") : sp_arena_str(a, sp_str_c(sp_where(text, sizeof(text), node)));
}

static const struct sp_value *
own_values(const struct sp_build *b, const struct sp_block *block, const char *directive, bool *cuts)
{
    int id = sp_registry_policy_id(b->registry, directive);

    if (id < 0 || block == NULL) {
        return NULL;
    }
    *cuts = block->cuts != NULL && block->cuts[id] != NULL;
    return block->values[id];
}

static unsigned
count_values(const struct sp_value *v)
{
    unsigned n = 0;

    for (; v != NULL; v = v->next) {
        n++;
    }
    return n;
}

static int
add_rules(struct sp_build *b, struct sp_subjects *subjects, const struct sp_value *v, bool deny, struct sp_scope *s)
{
    int err = 0;

    for (; v != NULL; v = v->next) {
        struct sp_rule *r = &s->rules[s->nrules];

        r->said = v->u.ptr;
        r->node = v->node;
        r->scope = s;
        r->order = s->nrules;
        r->deny = deny;
        if (sp_subjects_number(subjects, b, v->node, r->said->kind, r->said->subject, &r->principal) < 0) {
            err = -EINVAL;
            continue;
        }
        r->where = sp_where_str(b->arena, v->node);
        s->nrules++;
    }
    return err;
}

static int
by_principal(const void *a, const void *b)
{
    const struct sp_rule *x = *(const struct sp_rule *const *)a, *y = *(const struct sp_rule *const *)b;

    if (x->principal != y->principal) {
        return x->principal < y->principal ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

static void
fill_bucket(struct sp_build *b, struct sp_rule **rules, unsigned n, struct sp_bucket *bucket)
{
    struct sp_filter_entry *entries;
    unsigned                count = 0;

    for (unsigned i = 0; i < n; i++) {
        count += rules[i]->said->nfilters;
    }
    entries = sp_arena_array(b->arena, count, sizeof(*entries));
    count = 0;
    for (unsigned i = 0; i < n; i++) {
        for (unsigned f = 0; f < rules[i]->said->nfilters; f++) {
            entries[count++] = (struct sp_filter_entry){.filter = &rules[i]->said->filters[f],
                                                        .rule = rules[i],
                                                        .order = rules[i]->order,
                                                        .actions = rules[i]->said->actions,
                                                        .subject_capture = rules[i]->said->subject_capture,
                                                        .deny = rules[i]->deny};
        }
    }
    bucket->principal = rules[0]->principal;
    sp_filter_set_build(b->arena, entries, count, true, &bucket->set);
}

static void
build_buckets(struct sp_build *b, const struct sp_subjects *subjects, struct sp_scope *s)
{
    struct sp_rule **sorted = sp_arena_array(b->arena, s->nrules + 1, sizeof(*sorted));
    unsigned         from, to;

    for (unsigned i = 0; i < s->nrules; i++) {
        sorted[i] = &s->rules[i];
    }
    if (s->nrules > 1) {
        qsort(sorted, s->nrules, sizeof(*sorted), by_principal);
    }
    s->buckets = sp_arena_array(b->arena, s->nrules + 1, sizeof(*s->buckets));
    for (from = 0; from < s->nrules; from = to) {
        for (to = from + 1; to < s->nrules && sorted[to]->principal == sorted[from]->principal; to++) {
        }
        fill_bucket(b, &sorted[from], to - from, &s->buckets[s->nbuckets]);
        s->nlazy += sp_subjects_lazy(subjects, s->buckets[s->nbuckets++].principal);
    }
    s->lazy = sp_arena_array(b->arena, s->nlazy + 1, sizeof(*s->lazy));
    s->nlazy = 0;
    for (unsigned i = 0; i < s->nbuckets; i++) {
        if (sp_subjects_lazy(subjects, s->buckets[i].principal)) {
            s->lazy[s->nlazy++] = &s->buckets[i];
        }
    }
}

int
sp_scope_build(struct sp_build *b, struct sp_subjects *subjects, const struct sp_block *block, enum sp_level level,
               struct sp_scope *out)
{
    const struct sp_value *allow, *deny;
    int                    err = 0;

    *out = (struct sp_scope){.block = block, .level = level};
    out->where = sp_where_str(b->arena, block == NULL ? NULL : block->node);
    if (level == SP_LEVEL_TOPIC) {
        out->filter = block->node->args[1].text;
    }
    allow = own_values(b, block, "allow", &out->cuts_allow);
    deny = own_values(b, block, "deny", &out->cuts_deny);
    out->rules = sp_arena_array(b->arena, (size_t)count_values(allow) + count_values(deny) + 1, sizeof(*out->rules));
    if (add_rules(b, subjects, allow, false, out) < 0) {
        err = -EINVAL;
    }
    if (add_rules(b, subjects, deny, true, out) < 0) {
        err = -EINVAL;
    }
    build_buckets(b, subjects, out);
    return err;
}

static const struct sp_bucket *
find_bucket(const struct sp_scope *s, uint32_t principal)
{
    unsigned from = 0, to = s->nbuckets;

    while (from < to) {
        unsigned mid = from + (to - from) / 2;
        if (s->buckets[mid].principal == principal) {
            return &s->buckets[mid];
        }
        if (s->buckets[mid].principal < principal) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return NULL;
}

/* Does a lazy principal need a look, or is the persona a member of it by name already? */
static bool
by_name(const struct sp_persona *p, uint32_t principal)
{
    const void *position = NULL;
    uint32_t    number;

    while (sp_persona_next(p, &position, &number)) {
        if (number == principal) {
            return true;
        }
    }
    return false;
}

void
sp_scope_each(const struct sp_scope *s, const struct sp_persona                       *p,
              void (*fn)(const struct sp_filter_set *set, bool sure, void *arg), void *arg)
{
    const void *position = NULL;
    uint32_t    number;

    while (s->nbuckets > 0 && sp_persona_next(p, &position, &number)) {
        const struct sp_bucket *bucket = find_bucket(s, number);
        if (bucket != NULL) {
            fn(&bucket->set, true, arg);
        }
    }
    for (unsigned i = 0; i < s->nlazy; i++) {
        enum sp_membership m =
            by_name(p, s->lazy[i]->principal) ? SP_MEMBER_NOT : sp_persona_is(p, s->lazy[i]->principal);
        if (m != SP_MEMBER_NOT) {
            fn(&s->lazy[i]->set, m == SP_MEMBER, arg);
        }
    }
}

static void
merge(struct sp_filter_hit *hit, const struct sp_filter_hit *more, bool sure)
{
    if (more->deny != NULL && (hit->deny == NULL || more->deny->order < hit->deny->order)) {
        hit->deny = more->deny;
    }
    if (sure && more->allow != NULL && (hit->allow == NULL || more->allow->order < hit->allow->order)) {
        hit->allow = more->allow;
    }
}

/* Rules first, then whether the expression means who asks: most rules do not concern the topic. */
static void
ask_lazy(const struct sp_bucket *bucket, const struct sp_persona *p, struct sp_question *q, struct sp_filter_hit *hit)
{
    struct sp_filter_hit more = {NULL, NULL};

    sp_filter_set_ask(&bucket->set, q, &more);
    if ((more.deny != NULL || more.allow != NULL) && !by_name(p, bucket->principal)) {
        enum sp_membership m = sp_persona_is(p, bucket->principal);
        if (m != SP_MEMBER_NOT) {
            merge(hit, &more, m == SP_MEMBER);
        }
    }
}

void
sp_scope_ask(const struct sp_scope *s, const struct sp_persona *p, struct sp_question *q, bool no_allow, bool no_deny,
             struct sp_filter_hit *hit)
{
    struct sp_filter_hit here = {NULL, NULL};
    const void          *position = NULL;
    uint32_t             number;

    while (s->nbuckets > 0 && sp_persona_next(p, &position, &number)) {
        const struct sp_bucket *bucket = find_bucket(s, number);
        if (bucket != NULL) {
            sp_filter_set_ask(&bucket->set, q, &here);
        }
    }
    for (unsigned i = 0; i < s->nlazy && !p->anonymous; i++) {
        ask_lazy(s->lazy[i], p, q, &here);
    }
    if (hit->deny == NULL && !no_deny) {
        hit->deny = here.deny;
    }
    if (hit->allow == NULL && !no_allow) {
        hit->allow = here.allow;
    }
}
