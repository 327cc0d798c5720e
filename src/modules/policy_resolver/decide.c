#include "modules/policy_resolver/resolver.h"

#include "conf/snapshot.h"

bool
sp_topic_reserved(struct sp_str topic)
{
    return sp_str_prefix(topic, SP_STR("$SYS")) || sp_str_prefix(topic, SP_STR("$CONTROL")) ||
           sp_str_prefix(topic, SP_STR("$share"));
}

static const struct sp_policy *
values_at(struct sp_resolver_part *r, const struct sp_place *place)
{
    struct sp_path path;

    sp_place_path(place, &path);
    return sp_policy_fold(r->snapshot, &path);
}

/* What is decided by the place alone. True: denied, said why. */
static bool
out_of_reach(const struct sp_resolver_part *r, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
             const struct sp_place *place, struct sp_decision *d)
{
    const struct sp_realm *realm = place->claim == NULL ? NULL : place->claim->realm;
    bool                   hidden = topic.n > 0 && topic.p[0] == '$';

    d->where = SP_STR("default");
    if (action == SP_PUBLISH && sp_topic_reserved(topic)) {
        d->reason = "nobody may publish to the gateway's own topics";
        return true;
    }
    if (who->realm != NULL && (realm != NULL ? realm->scope.block != who->realm : !hidden)) {
        d->reason = "the listener is tied to another realm";
        d->rule = who->realm->node;
        for (unsigned i = 0; i < r->realms.nrealms; i++) {
            if (r->realms.realms[i].scope.block == who->realm) {
                d->where = r->realms.realms[i].scope.where;
            }
        }
        return true;
    }
    if (realm == NULL && !hidden && !r->unknown_global) {
        d->reason = "no realm claims the topic";
        d->rule = r->unknown_node;
        d->where = r->unknown_where;
        return true;
    }
    return false;
}

struct walk {
    struct sp_persona    persona;
    struct sp_question   q;
    struct sp_filter_hit hit;
    bool                 no_allow, no_deny; /* an inner level cut them off */
};

static void
ask(struct walk *w, const struct sp_scope *s, const struct sp_str *around)
{
    w->q.around = around;
    sp_scope_ask(s, &w->persona, &w->q, w->no_allow, w->no_deny, &w->hit);
    w->no_allow = w->no_allow || s->cuts_allow;
    w->no_deny = w->no_deny || s->cuts_deny;
}

/* From the inside out. */
static void
ask_all(const struct sp_resolver_part *r, const struct sp_place *place, struct walk *w)
{
    const struct sp_str *claim = place->claim == NULL ? NULL : &place->claim->filter;

    if (place->application != NULL) {
        ask(w, place->application, claim);
    }
    for (unsigned i = place->ntopics; i-- > 0;) {
        ask(w, place->topics[i], &place->topics[i]->filter);
    }
    if (place->claim != NULL) {
        ask(w, &place->claim->realm->scope, claim);
    }
    ask(w, &r->global, NULL);
}

/* All files are asked: one that denies wins over those that allow. */
static enum sp_acl_verdict
ask_acls(const struct sp_resolver_part *r, bool anonymous, struct sp_question *q, struct sp_finding *out)
{
    enum sp_acl_verdict best = SP_ACL_NONE;

    for (const struct sp_acl *a = r->acls; a != NULL; a = a->next) {
        const struct sp_acl_line *line;
        enum sp_acl_verdict       v = sp_aclfile_ask(a->file, anonymous, q, &line);

        if (v > best) {
            best = v;
            out->acl = a;
            out->line = line;
        }
    }
    return best;
}

static void
name_rule(struct sp_finding *f, const struct sp_filter_entry *e, const char *reason)
{
    f->rule = e->rule;
    f->filter = e->filter;
    f->acl = NULL;
    f->line = NULL;
    f->decision.rule = f->rule->node;
    f->decision.where = f->rule->where;
    f->decision.reason = reason;
}

static void
name_acl(struct sp_finding *f, const char *reason)
{
    f->decision.rule = f->acl->node;
    f->decision.where = f->line != NULL ? f->line->where : f->acl->where;
    f->decision.reason =
        f->line != NULL ? reason : "the name or client id holds a wildcard, so no pattern of acl_file may hold";
}

static void
conclude(const struct sp_resolver_part *r, const struct sp_filter_hit *hit, enum sp_acl_verdict acl,
         struct sp_finding *f)
{
    const struct sp_scope *around = f->place.claim != NULL ? &f->place.claim->realm->scope : &r->global;

    if (hit->deny != NULL) {
        name_rule(f, hit->deny, "denied by rule");
    } else if (acl == SP_ACL_DENY) {
        name_acl(f, "denied by acl_file");
    } else if (hit->allow != NULL) {
        f->decision.allowed = true;
        name_rule(f, hit->allow, "allowed by rule");
    } else if (acl == SP_ACL_ALLOW) {
        f->decision.allowed = true;
        name_acl(f, "allowed by acl_file");
    } else {
        f->decision.reason = "no allow rule matches";
        f->decision.rule = around->block == NULL ? NULL : around->block->node;
        f->decision.where = around->where;
    }
}

void
sp_resolver_find(struct sp_resolver_part *r, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
                 struct sp_finding *out)
{
    struct walk         w;
    enum sp_acl_verdict acl;

    memset(out, 0, sizeof(*out));
    sp_realms_locate(&r->realms, topic, who->application, &out->place);
    out->decision.policy = values_at(r, &out->place);
    if (out_of_reach(r, who, action, topic, &out->place, &out->decision)) {
        return;
    }
    out->judged = true;
    sp_subjects_persona(r->subjects, who->identity, who->anonymous, &w.persona);
    if (sp_persona_nobody(&w.persona)) {
        out->decision.where = SP_STR("default");
        out->decision.reason = "nobody asks";
        return;
    }
    w.q.topic = topic;
    w.q.action = sp_action_bit(action);
    w.q.identity = who->identity;
    w.q.client = who->client_id;
    w.q.around = w.q.captured = NULL;
    w.q.ncaptures = 0;
    w.q.scratch = &r->scratch[0];
    w.hit = (struct sp_filter_hit){NULL, NULL};
    w.no_allow = w.no_deny = false;
    ask_all(r, &out->place, &w);
    acl = r->acls == NULL ? SP_ACL_NONE : ask_acls(r, who->anonymous, &w.q, out);
    conclude(r, &w.hit, acl, out);
}

const struct sp_policy *
sp_resolver_policy(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str topic)
{
    struct sp_resolver_part *r = sp_resolver_part(s);
    struct sp_place          place;

    sp_realms_locate(&r->realms, topic, who->application, &place);
    return values_at(r, &place);
}

void
sp_resolver_decide(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
                   struct sp_decision *out)
{
    struct sp_resolver_part *r = sp_resolver_part(s);
    struct sp_memo_key       key;
    struct sp_finding        f;

    sp_memo_key(&r->memo, who, action, topic, &key);
    if (sp_memo_find(&r->memo, &key, out)) {
        return;
    }
    sp_resolver_find(r, who, action, topic, &f);
    *out = f.decision;
    sp_memo_add(&r->memo, &key, out);
}
