/*
 * May a filter be subscribed? The topics that it can match are looked at in parts: what it has in common with each claim of a
 * realm, and what no realm claims. In a part, an allow rule gives something when the intersection of filter, claim, block and
 * rule is not empty, not all of it is forbidden by one deny rule, and no other realm owns all of it. What is left open (many
 * denials that together cover an allow) errs on the side of granting: every delivery is judged by itself. For `within` it is
 * the other way round: a part counts as allowed as a whole only when one rule covers it and no denial touches it.
 */
#include "base/topic.h"
#include "conf/snapshot.h"
#include "modules/policy_resolver/directives.h"
#include "modules/policy_resolver/resolver.h"

enum { RULE, PART, WITH_RULE, WITH_BLOCK, FIXED, WITH_FIXED }; /* the uses of the scratches */

struct grant {
    struct sp_resolver_part      *r;
    const struct sp_subject      *who;
    struct sp_persona             persona;
    struct sp_str                 filter;
    const struct sp_claim        *claim; /* of the part; NULL: of no realm */
    struct sp_str                 part;
    const struct sp_scope        *application;
    bool                          any, all;
    bool                          whole; /* of the part */
    const struct sp_filter_entry *given,
        *denied;                               /* an entry that gives something; one that takes all that another gave */
    const struct sp_acl *given_by, *denied_by; /* whose entry it is; NULL: of the configuration */
    const struct sp_acl *section; /* a rule of its user section is looked at: its patterns have no say then */
};

/* One block of the part's path. */
struct layer {
    const struct sp_scope *scope;
    const struct sp_str   *around;
    const struct sp_str   *filter; /* of a topic block; NULL: holds for all of the part */
};

typedef void (*layer_fn)(struct grant *g, const struct layer *l, void *arg);

/* The blocks that touch `what`, from the inside out. */
static void
each_layer(struct grant *g, struct sp_str what, layer_fn fn, void *arg)
{
    struct sp_realm *realm = g->claim == NULL ? NULL : g->claim->realm;
    struct layer     l = {.around = g->claim == NULL ? NULL : &g->claim->filter};

    if (realm != NULL && g->application != NULL) {
        l.scope = g->application;
        fn(g, &l, arg);
    }
    for (unsigned i = realm == NULL ? 0 : realm->ntopics; i-- > 0;) {
        struct layer t = {&realm->topics[i], &realm->topics[i].filter, &realm->topics[i].filter};
        if ((t.scope->nrules > 0 || t.scope->cuts_allow || t.scope->cuts_deny) &&
            sp_topic_filters_overlap(*t.filter, what)) {
            fn(g, &t, arg);
        }
    }
    if (realm != NULL) {
        l.scope = &realm->scope;
        fn(g, &l, arg);
    }
    l = (struct layer){.scope = &g->r->global};
    fn(g, &l, arg);
}

/* The filter that an entry means for who asks. */
static bool
entry_filter(struct grant *g, const struct sp_filter_entry *e, const struct sp_str *around, bool strict,
             struct sp_str *out)
{
    struct sp_references refs = {g->who->identity, g->who->client_id, NULL, 0, around, strict};

    if (e->filter->max_capture > 0 && around == NULL) {
        return false;
    }
    return sp_template_filter(e->filter, &refs, &g->r->scratch[RULE], out);
}

static bool
is_exact(const struct sp_filter_entry *e)
{
    return e->filter->max_capture == 0 && e->subject_capture == 0;
}

static bool
concerns(const struct sp_filter_entry *e)
{
    return (e->deny && e->actions == 0) || (e->actions & SP_ACTION_SUBSCRIBE) != 0;
}

/* ---- is all of `what` forbidden, is any of the part? ---- */

struct forbid {
    struct sp_str       what;
    bool                touching; /* asks for any denial that touches it; else for one that covers it */
    bool                cut;      /* an inner block that holds in some of it cut off outer denials */
    bool                found;
    const struct layer *layer;
    struct grant       *g;
};

static void
forbid_by(struct forbid *f, const struct sp_filter_set *set, const struct sp_str *around, const struct sp_str *block,
          const struct sp_acl *acl)
{
    for (unsigned i = 0; i < set->count && !f->found; i++) {
        const struct sp_filter_entry *e = &set->entries[i];
        struct sp_str                 filter;

        if (!e->deny || !concerns(e) || !entry_filter(f->g, e, around, false, &filter)) {
            continue;
        }
        f->found = f->touching ? sp_topic_filters_overlap(filter, f->what)
                               : is_exact(e) && sp_topic_filter_covers(filter, f->what) &&
                                     (block == NULL || sp_topic_filter_covers(*block, f->what));
        if (f->found) {
            f->g->denied = e;
            f->g->denied_by = acl;
        }
    }
}

static void
forbid_set(const struct sp_filter_set *set, bool sure, void *arg)
{
    struct forbid *f = arg;

    (void)sure; /* a denial also holds for who may be meant */
    forbid_by(f, set, f->layer->around, f->layer->filter, NULL);
}

static void
forbid_layer(struct grant *g, const struct layer *l, void *arg)
{
    struct forbid *f = arg;

    if (f->found || f->cut) {
        return;
    }
    f->layer = l;
    sp_scope_each(l->scope, &g->persona, forbid_set, f);
    f->cut = l->scope->cuts_deny && !f->touching;
}

static bool
forbidden(struct grant *g, struct sp_str what, bool touching)
{
    struct forbid f = {.what = what, .touching = touching, .g = g};

    each_layer(g, what, forbid_layer, &f);
    for (const struct sp_acl *a = g->r->acls; a != NULL && !f.found; a = a->next) {
        const struct sp_acl_user *user = sp_aclfile_user(a->file, g->who->anonymous, g->who->identity);

        if (sp_aclfile_dangerous(a->file, g->who->anonymous, g->who->identity, g->who->client_id) && a != g->section) {
            return true;
        }
        if (user != NULL) {
            forbid_by(&f, &user->rules, NULL, NULL, a);
        }
        if (a != g->section && !f.found) {
            forbid_by(&f, g->who->anonymous ? &a->file->nameless_patterns : &a->file->patterns, NULL, NULL, a);
        }
    }
    return f.found;
}

/* ---- what is given ---- */

struct owner {
    const struct grant *g;
    struct sp_str       what;
    bool                other;
};

static bool
take_owner(const struct sp_claim *c, void *arg)
{
    struct owner *o = arg;

    o->other = c != o->g->claim && (o->g->claim == NULL || sp_topic_specificity(c->filter, o->g->claim->filter) > 0) &&
               sp_topic_filter_covers(c->filter, o->what);
    return !o->other;
}

/* Does a more specific claim than the part's own all of it? */
static bool
belongs_elsewhere(const struct grant *g, struct sp_str what)
{
    struct owner o = {g, what, false};

    sp_realms_overlapping(&g->r->realms, what, take_owner, &o);
    return o.other;
}

struct give {
    struct grant        *g;
    const struct layer  *layer;
    const struct sp_acl *acl;
    bool                 cut;     /* an inner block cuts off outer permissions in some of the part, */
    bool                 cut_all; /* or in all of it */
    bool                 strict;
};

/* The topics that the entry allows within the part; false: none. */
static bool
allowed_part(struct give *v, const struct sp_filter_entry *e, struct sp_str filter, struct sp_str *out)
{
    struct grant        *g = v->g;
    struct sp_scratch   *s = g->r->scratch;
    const struct sp_str *block = v->layer == NULL ? NULL : v->layer->filter;
    struct sp_str        fixed;

    if (!sp_filter_intersect(g->part, filter, &s[WITH_RULE], out)) {
        return false;
    }
    if (block != NULL && !sp_filter_intersect(*out, *block, &s[WITH_BLOCK], out)) {
        return false;
    }
    if (e->subject_capture == 0) {
        return true;
    }
    return v->layer != NULL && v->layer->around != NULL &&
           sp_filter_fix(*v->layer->around, e->subject_capture, g->who->identity, &s[FIXED], &fixed) &&
           sp_filter_intersect(*out, fixed, &s[WITH_FIXED], out);
}

/* Is it in a more specific topic block that cuts off what this layer allows? */
static bool
cut_off(const struct give *v, struct sp_str what)
{
    const struct sp_realm *realm = v->g->claim == NULL ? NULL : v->g->claim->realm;

    for (unsigned i = realm == NULL || v->layer == NULL ? 0 : realm->ntopics; v->cut && i-- > 0;) {
        const struct sp_scope *t = &realm->topics[i];

        if (t == v->layer->scope) {
            return false;
        }
        if (t->cuts_allow && sp_topic_filter_covers(t->filter, what)) {
            return true;
        }
    }
    return false;
}

static void
give_by(struct give *v, const struct sp_filter_set *set)
{
    struct grant        *g = v->g;
    const struct sp_str *around = v->layer == NULL ? NULL : v->layer->around;
    const struct sp_str *block = v->layer == NULL ? NULL : v->layer->filter;

    for (unsigned i = 0; i < set->count && !(g->any && g->whole); i++) {
        const struct sp_filter_entry *e = &set->entries[i];
        struct sp_str                 filter, some;

        if (e->deny || !concerns(e) || !entry_filter(g, e, around, v->strict, &filter)) {
            continue;
        }
        g->whole = g->whole || (is_exact(e) && !v->cut && sp_topic_filter_covers(filter, g->part) &&
                                (block == NULL || sp_topic_filter_covers(*block, g->part)));
        if (!g->any && allowed_part(v, e, filter, &some) && !cut_off(v, some) && !belongs_elsewhere(g, some) &&
            !forbidden(g, some, false)) {
            g->any = true;
            g->given = e;
            g->given_by = v->acl;
        }
    }
}

static void
give_set(const struct sp_filter_set *set, bool sure, void *arg)
{
    if (sure) {
        give_by(arg, set);
    }
}

static void
give_layer(struct grant *g, const struct layer *l, void *arg)
{
    struct give *v = arg;

    if (v->cut_all) {
        return;
    }
    v->layer = l;
    v->strict = true;
    sp_scope_each(l->scope, &g->persona, give_set, v);
    v->cut = v->cut || l->scope->cuts_allow;
    v->cut_all = l->scope->cuts_allow && l->filter == NULL;
}

static void
look_at_part(struct grant *g)
{
    struct give v = {.g = g};

    g->whole = false;
    each_layer(g, g->part, give_layer, &v);
    v.layer = NULL;
    v.strict = false;
    v.cut = false;
    for (const struct sp_acl *a = g->r->acls; a != NULL; a = a->next) {
        const struct sp_acl_user *user = sp_aclfile_user(a->file, g->who->anonymous, g->who->identity);

        v.acl = g->section = a;
        if (user != NULL) {
            give_by(&v, &user->rules);
        }
        g->section = NULL;
        give_by(&v, g->who->anonymous ? &a->file->nameless_patterns : &a->file->patterns);
    }
    g->all = g->all && g->whole && !forbidden(g, g->part, true);
}

static bool
take_part(const struct sp_claim *c, void *arg)
{
    struct grant *g = arg;

    g->claim = c;
    if (!sp_filter_intersect(g->filter, c->filter, &g->r->scratch[PART], &g->part) || belongs_elsewhere(g, g->part)) {
        return true;
    }
    if (g->who->realm != NULL && c->realm->scope.block != g->who->realm) {
        g->all = false;
        return true;
    }
    g->application = NULL;
    for (unsigned i = 0; g->who->application.n > 0 && i < c->realm->napplications; i++) {
        if (sp_str_eq(c->realm->applications[i].block->node->args[1].text, g->who->application)) {
            g->application = &c->realm->applications[i];
        }
    }
    look_at_part(g);
    return true;
}

/* ---- the answer ---- */

static void
name_entry(struct sp_finding *f, const struct sp_filter_entry *e, const struct sp_acl *acl, const char *reason)
{
    f->decision.reason = reason;
    f->acl = acl;
    if (acl != NULL) {
        f->line = e->rule;
        f->decision.rule = acl->node;
        f->decision.where = f->line->where;
        return;
    }
    f->rule = e->rule;
    f->filter = e->filter;
    f->decision.rule = f->rule->node;
    f->decision.where = f->rule->where;
}

static void
name_refusal(const struct grant *g, struct sp_finding *f)
{
    const struct sp_scope *around;

    if (!g->any && g->denied != NULL) {
        name_entry(f, g->denied, g->denied_by, "denied by rule");
        return;
    }
    if (!g->any && g->claim == NULL && g->filter.p[0] != '$' && !g->r->unknown_global) {
        f->judged = false;
        f->decision.reason = "no realm claims what the filter can match";
        f->decision.rule = g->r->unknown_node;
        f->decision.where = g->r->unknown_where;
        return;
    }
    if (f->place.claim == NULL) {
        f->place.claim = g->claim; /* one that the filter touches is more to the point than none */
    }
    around = f->place.claim != NULL ? &f->place.claim->realm->scope : &g->r->global;
    f->decision.reason =
        g->any ? "the filter is wider than what is allowed" : "the filter can match nothing that is allowed";
    f->decision.rule = around->block == NULL ? NULL : around->block->node;
    f->decision.where = around->where;
}

static void
look_at_all(struct grant *g, bool inside)
{
    bool                   outside = g->filter.p[0] == '$' || (g->r->unknown_global && g->who->realm == NULL);
    const struct sp_claim *last;

    g->all = true;
    sp_realms_overlapping(&g->r->realms, g->filter, take_part, g);
    if (inside) {
        return;
    }
    if (!outside) {
        g->all = false;
        return;
    }
    last = g->claim;
    g->claim = NULL;
    g->application = NULL;
    g->part = g->filter;
    look_at_part(g);
    g->claim = last;
}

enum sp_grant
sp_resolver_find_filter(struct sp_resolver_part *r, const struct sp_subject *who, struct sp_str filter,
                        struct sp_finding *out)
{
    struct grant   g = {.r = r, .who = who};
    struct sp_path path;
    struct sp_str  group;
    bool           valid = true;

    if (sp_topic_share_split(filter, &group, &g.filter, &valid)) {
        filter = g.filter;
    }
    valid = valid && filter.n > 0;
    if (valid && !sp_topic_has_wildcard(filter)) {
        sp_resolver_find(r, who, SP_SUBSCRIBE, filter, out);
        return out->decision.allowed ? SP_GRANT_WHOLE : SP_GRANT_NONE;
    }
    memset(out, 0, sizeof(*out));
    sp_realms_locate_filter(&r->realms, valid ? filter : SP_STR("#"), who->application, &out->place);
    sp_place_path(&out->place, &path);
    out->decision.policy = sp_policy_fold(r->snapshot, &path);
    out->decision.where = SP_STR("default");
    sp_subjects_persona(r->subjects, who->identity, who->anonymous, &g.persona);
    if (!valid || sp_persona_nobody(&g.persona)) {
        out->decision.reason = valid ? "nobody asks" : "not a topic filter";
        return SP_GRANT_NONE;
    }
    out->judged = true;
    g.filter = filter;
    look_at_all(&g, out->place.claim != NULL);
    if (!g.any || (!g.all && sp_policy_num(out->decision.policy, r->subscription_id, SP_SUBSCRIPTION_OVERLAP) ==
                                 SP_SUBSCRIPTION_WITHIN)) {
        name_refusal(&g, out);
        return SP_GRANT_NONE;
    }
    out->decision.allowed = true;
    name_entry(out, g.given, g.given_by, g.given_by == NULL ? "allowed by rule" : "allowed by acl_file");
    return g.all ? SP_GRANT_WHOLE : SP_GRANT_OVERLAP;
}

enum sp_grant
sp_resolver_grant(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str filter, struct sp_decision *out)
{
    struct sp_resolver_part *r = sp_resolver_part(s);
    struct sp_finding        f;
    enum sp_grant            g;

    if (!sp_topic_has_wildcard(filter) && filter.n > 0 && filter.p[0] != '$') {
        sp_resolver_decide(s, who, SP_SUBSCRIBE, filter, out); /* remembered */
        return out->allowed ? SP_GRANT_WHOLE : SP_GRANT_NONE;
    }
    g = sp_resolver_find_filter(r, who, filter, &f);
    *out = f.decision;
    return g;
}
