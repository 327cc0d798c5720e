#include "modules/policy_resolver/explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/provenance.h"
#include "conf/snapshot.h"

#define LEVEL_COLUMN 35u /* where the columns begin, unless something is longer */
#define WHERE_COLUMN 54u
#define VALUE_WIDTH  40u /* a longer value pushes its own line only */

static void
add_escaped(struct sp_text *t, struct sp_str s)
{
    size_t cap = s.n * 4 + 8;
    char  *p = malloc(cap);

    if (p != NULL) {
        sp_text_add(t, sp_str_c(sp_str_escape(p, cap, s)));
    }
    free(p);
}

void
sp_text_rule(struct sp_text *t, const struct sp_rule *rule, const struct sp_template *filter)
{
    const struct sp_conf_node *n = rule->node;

    add_escaped(t, n->args[0].text);
    sp_text_add(t, SP_STR(" "));
    add_escaped(t, n->args[SP_RULE_SUBJECT_ARG].text);
    sp_text_add(t, SP_STR(" "));
    add_escaped(t, n->args[SP_RULE_ACTION_ARG].text);
    sp_text_add(t, SP_STR(" \""));
    add_escaped(t, filter->text);
    sp_text_add(t, SP_STR("\""));
}

void
sp_text_level(struct sp_text *t, enum sp_level level, const struct sp_conf_node *node)
{
    const struct sp_conf_node *block = node == NULL ? NULL : node->parent;

    sp_text_add(t, sp_str_c(sp_level_name(level)));
    if (level > SP_LEVEL_GLOBAL && block != NULL && block->nargs > 1) {
        sp_text_add(t, SP_STR(" "));
        add_escaped(t, block->args[1].text);
    }
}

void
sp_text_cause(struct sp_text *t, const struct sp_finding *f)
{
    if (f->rule != NULL) {
        sp_text_rule(t, f->rule, f->filter);
    } else if (f->line != NULL) {
        add_escaped(t, f->line->text);
    } else {
        sp_text_add(t, sp_str_c(f->decision.reason));
    }
}

void
sp_text_cause_level(struct sp_text *t, const struct sp_finding *f)
{
    const struct sp_conf_node *realm = f->place.claim == NULL ? NULL : f->place.claim->realm->scope.block->node;

    if (f->rule != NULL) {
        sp_text_level(t, f->rule->scope->level, f->rule->node);
    } else if (f->acl != NULL) {
        sp_text_add(t, SP_STR("acl_file"));
    } else if (f->judged && realm != NULL) {
        sp_text_add(t, SP_STR("realm "));
        add_escaped(t, realm->args[1].text);
    } else {
        sp_text_add(t, sp_str_c(sp_level_name(SP_LEVEL_GLOBAL)));
    }
}

bool
sp_text_application(struct sp_text *t, const struct sp_explained *e)
{
    const struct sp_place *place = &e->finding.place;

    if (e->who->application.n == 0 || place->claim == NULL || place->application != NULL) {
        return false;
    }
    sp_text_add(t, SP_STR("no application "));
    add_escaped(t, e->who->application);
    sp_text_add(t, SP_STR(" in realm "));
    add_escaped(t, place->claim->realm->name);
    return true;
}

bool
sp_value_shown(const struct sp_value *v)
{
    return v != NULL && strcmp(v->directive->name, "allow") != 0 && strcmp(v->directive->name, "deny") != 0;
}

/* Blanks up to a column of the line that begins at `line`; two at least. */
static void
pad(struct sp_text *t, size_t line, size_t column)
{
    sp_text_add(t, SP_STR("  "));
    while (t->n - line < column) {
        sp_text_add(t, SP_STR(" "));
    }
}

static void
add_cause(struct sp_text *t, const struct sp_explained *e, size_t where_column)
{
    size_t line = t->n;

    sp_text_add(t, SP_STR("  "));
    sp_text_cause(t, &e->finding);
    pad(t, line, LEVEL_COLUMN);
    sp_text_cause_level(t, &e->finding);
    pad(t, line, where_column);
    sp_text_add(t, e->finding.decision.where);
    sp_text_add(t, SP_STR("\n"));
}

static void
add_nearest(struct sp_text *t, const struct sp_explained *e, size_t where_column)
{
    char   where[600];
    size_t line = t->n;

    if (e->nearest.rule != NULL) {
        sp_text_add(t, SP_STR("  nearest: "));
        sp_text_rule(t, e->nearest.rule, e->nearest.filter);
        pad(t, line, where_column);
        sp_text_add(t, e->nearest.rule->where);
    } else if (e->nearest_claim != NULL) {
        sp_text_add(t, SP_STR("  nearest: realm "));
        add_escaped(t, e->nearest_claim->realm->name);
        sp_text_add(t, SP_STR(" topics \""));
        add_escaped(t, e->nearest_claim->filter);
        sp_text_add(t, SP_STR("\""));
        pad(t, line, where_column);
        sp_text_add(t, sp_str_c(sp_where(where, sizeof(where), e->nearest_claim->node)));
    } else {
        return;
    }
    sp_text_add(t, SP_STR("\n"));
}

/* Both lines, once to see how long they get and once for good. */
static void
add_verdict(struct sp_text *t, const struct sp_explained *e)
{
    struct sp_text trial = {0};
    size_t         column = WHERE_COLUMN, begin;

    sp_text_add(&trial, SP_STR("  "));
    sp_text_cause(&trial, &e->finding);
    pad(&trial, 0, LEVEL_COLUMN);
    sp_text_cause_level(&trial, &e->finding);
    column = trial.n + 2 > column ? trial.n + 2 : column;
    begin = trial.n;
    if (e->nearest.rule != NULL) {
        sp_text_rule(&trial, e->nearest.rule, e->nearest.filter);
        column = trial.n - begin + 13 > column ? trial.n - begin + 13 : column;
    }
    sp_text_free(&trial);
    add_cause(t, e, column);
    add_nearest(t, e, column);
}

/* ---- the table of values ---- */

struct widths {
    size_t name, value, level, where;
};

static void
widen(size_t *width, size_t n)
{
    *width = n > *width ? n : *width;
}

static void
measure(const struct sp_value *v, struct widths *w)
{
    struct sp_text t = {0};
    char           where[600];

    widen(&w->name, strlen(v->directive->name));
    sp_text_value(&t, v);
    widen(&w->value, t.n > VALUE_WIDTH ? 0 : t.n);
    sp_text_reset(&t);
    sp_text_level(&t, v->level, v->node);
    widen(&w->level, t.n);
    widen(&w->where, strlen(sp_where(where, sizeof(where), v->node)));
    sp_text_free(&t);
}

static void
add_value(struct sp_text *t, const struct sp_value *v, const struct widths *w)
{
    char   where[600];
    size_t line = t->n, level = 2 + w->name + 2 + w->value + 2, place = level + w->level + 2;

    sp_text_printf(t, "  %s", v->directive->name);
    pad(t, line, 2 + w->name + 2);
    sp_text_value(t, v);
    pad(t, line, level);
    sp_text_level(t, v->level, v->node);
    if (v->node != NULL) {
        pad(t, line, place);
        sp_text_add(t, sp_str_c(sp_where(where, sizeof(where), v->node)));
    }
    if (v->floor) {
        pad(t, line, place + w->where + 3);
        sp_text_add(t, SP_STR("floor"));
    }
    for (const struct sp_value *o = v->outer; o != NULL; o = o->outer) {
        if (o->node != NULL) {
            sp_text_add(t, SP_STR("   over "));
            sp_text_value(t, o);
            sp_text_printf(t, " %s%s", sp_where(where, sizeof(where), o->node), o->floor ? " floor" : "");
        }
    }
    sp_text_add(t, SP_STR("\n"));
}

static void
add_values(struct sp_text *t, const struct sp_policy *p)
{
    struct widths w = {0};

    sp_text_add(t, SP_STR("values in force\n"));
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < p->nvalues; i++) {
            for (const struct sp_value *v = p->values[i]; sp_value_shown(v); v = v->next) {
                if (pass == 0) {
                    measure(v, &w);
                } else {
                    add_value(t, v, &w);
                }
            }
        }
    }
}

static void
add_application(struct sp_text *t, const struct sp_explained *e)
{
    struct sp_text line = {0};

    if (sp_text_application(&line, e)) {
        sp_text_add(t, SP_STR("  "));
        sp_text_add(t, sp_text_str(&line));
        sp_text_add(t, SP_STR("\n"));
    }
    sp_text_free(&line);
}

static void
explain_text(const struct sp_explained *e, struct sp_text *t)
{
    sp_text_add(t, e->action == SP_PUBLISH ? SP_STR("publish ") : SP_STR("subscribe "));
    add_escaped(t, e->topic);
    sp_text_add(t, SP_STR(" by "));
    add_escaped(t, e->who->anonymous ? SP_STR("anonymous") : e->who->identity);
    sp_text_add(t, e->grant == SP_GRANT_NONE    ? SP_STR(": DENIED\n")
                   : e->grant == SP_GRANT_WHOLE ? SP_STR(": ALLOWED\n")
                                                : SP_STR(": ALLOWED in part, every delivery is judged\n"));
    add_verdict(t, e);
    add_application(t, e);
    add_values(t, e->finding.decision.policy);
}

int
sp_resolver_explain(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
                    bool json, char **text)
{
    struct sp_resolver_part *r = sp_resolver_part(s);
    struct sp_explained      e = {.snapshot = s, .who = who, .action = action, .topic = topic};
    struct sp_text           t = {0};

    if (action == SP_SUBSCRIBE) {
        e.grant = sp_resolver_find_filter(r, who, topic, &e.finding);
    } else {
        sp_resolver_find(r, who, action, topic, &e.finding);
        e.grant = e.finding.decision.allowed ? SP_GRANT_WHOLE : SP_GRANT_NONE;
    }
    if (!e.finding.decision.allowed && e.finding.rule == NULL && e.finding.acl == NULL) {
        if (e.finding.judged) {
            e.nearest = sp_resolver_nearest(r, who, action, topic, &e.finding.place);
        } else if (e.finding.place.claim == NULL && who->realm == NULL && !sp_topic_reserved(topic)) {
            e.nearest_claim = sp_resolver_nearest_claim(r, topic);
        }
    }
    if (json) {
        sp_explain_json(&e, &t);
    } else {
        explain_text(&e, &t);
    }
    *text = sp_text_take(&t);
    return *text == NULL ? -ENOMEM : 0;
}
