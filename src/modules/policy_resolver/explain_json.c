#include <stdlib.h>

#include "conf/provenance.h"
#include "conf/snapshot.h"
#include "modules/policy_resolver/explain.h"

static void
add_string(struct sp_text *t, struct sp_str s)
{
    size_t need = sp_str_json(NULL, 0, s) + 1;
    char  *p = malloc(need);

    if (p != NULL) {
        (void)sp_str_json(p, need, s);
        sp_text_add(t, (struct sp_str){p, need - 1});
    } else {
        sp_text_add(t, SP_STR("\"\""));
    }
    free(p);
}

/* `"key":"text"`, and empties the text. */
static void
add_text(struct sp_text *t, const char *key, struct sp_text *value)
{
    sp_text_printf(t, "\"%s\":", key);
    add_string(t, sp_text_str(value));
    sp_text_reset(value);
}

static void
add_field(struct sp_text *t, const char *key, struct sp_str value)
{
    sp_text_printf(t, "\"%s\":", key);
    add_string(t, value);
}

/* value, level and where of one value. */
static void
add_origin(struct sp_text *t, const struct sp_value *v)
{
    struct sp_text word = {0};
    char           where[600];

    sp_text_value(&word, v);
    add_text(t, "value", &word);
    sp_text_add(t, SP_STR(","));
    sp_text_level(&word, v->level, v->node);
    add_text(t, "level", &word);
    sp_text_add(t, SP_STR(","));
    add_field(t, "where", sp_str_c(sp_where(where, sizeof(where), v->node)));
    sp_text_printf(t, ",\"floor\":%s", v->floor ? "true" : "false");
    sp_text_free(&word);
}

static void
add_values(struct sp_text *t, const struct sp_policy *p)
{
    const char *comma = "";

    sp_text_add(t, SP_STR("\"values\":["));
    for (unsigned i = 0; i < p->nvalues; i++) {
        for (const struct sp_value *v = p->values[i]; sp_value_shown(v); v = v->next) {
            sp_text_printf(t, "%s{\"name\":\"%s\",", comma, v->directive->name);
            add_origin(t, v);
            sp_text_add(t, SP_STR(",\"over\":["));
            for (const struct sp_value *o = v->outer; o != NULL; o = o->outer) {
                sp_text_add(t, o == v->outer ? SP_STR("{") : SP_STR(",{"));
                add_origin(t, o);
                sp_text_add(t, SP_STR("}"));
            }
            sp_text_add(t, SP_STR("]}"));
            comma = ",";
        }
    }
    sp_text_add(t, SP_STR("]"));
}

static void
add_nearest(const struct sp_explained *e, struct sp_text *t)
{
    struct sp_text rule = {0};
    char           where[600];

    sp_text_add(t, SP_STR("\"nearest\":"));
    if (e->nearest.rule != NULL) {
        sp_text_rule(&rule, e->nearest.rule, e->nearest.filter);
        (void)sp_where(where, sizeof(where), e->nearest.rule->node);
    } else if (e->nearest_claim != NULL) {
        sp_text_add(&rule, e->nearest_claim->realm->label);
        sp_text_add(&rule, SP_STR(" topics \""));
        sp_text_add(&rule, e->nearest_claim->filter);
        sp_text_add(&rule, SP_STR("\""));
        (void)sp_where(where, sizeof(where), e->nearest_claim->node);
    } else {
        sp_text_add(t, SP_STR("null,"));
        return;
    }
    sp_text_add(t, SP_STR("{"));
    add_text(t, "rule", &rule);
    sp_text_add(t, SP_STR(","));
    add_field(t, "where", sp_str_c(where));
    sp_text_add(t, SP_STR("},"));
    sp_text_free(&rule);
}

static void
add_place(const struct sp_place *p, struct sp_text *t)
{
    sp_text_add(t, SP_STR("\"realm\":"));
    if (p->claim == NULL) {
        sp_text_add(t, SP_STR("null"));
    } else {
        add_string(t, p->claim->realm->name);
    }
    sp_text_add(t, SP_STR(",\"topics\":["));
    for (unsigned i = 0; i < p->ntopics; i++) {
        sp_text_add(t, i == 0 ? SP_STR("") : SP_STR(","));
        add_string(t, p->topics[i]->filter);
    }
    sp_text_add(t, SP_STR("],"));
}

/* The application whose block holds here, and what there is to say of one that was asked for in vain. */
static void
add_application(const struct sp_explained *e, struct sp_text *t)
{
    const struct sp_scope *application = e->finding.place.application;
    struct sp_text         note = {0};

    sp_text_add(t, SP_STR("\"application\":"));
    if (application == NULL) {
        sp_text_add(t, SP_STR("null,"));
    } else {
        add_string(t, application->block->node->args[1].text);
        sp_text_add(t, SP_STR(","));
    }
    if (sp_text_application(&note, e)) {
        add_text(t, "note", &note);
        sp_text_add(t, SP_STR(","));
    } else {
        sp_text_add(t, SP_STR("\"note\":null,"));
    }
    sp_text_free(&note);
}

void
sp_explain_json(const struct sp_explained *e, struct sp_text *t)
{
    const struct sp_finding *f = &e->finding;
    struct sp_text           word = {0};

    sp_text_add(t, SP_STR("{"));
    add_field(t, "action", e->action == SP_PUBLISH ? SP_STR("publish") : SP_STR("subscribe"));
    sp_text_add(t, SP_STR(","));
    add_field(t, "topic", e->topic);
    sp_text_add(t, SP_STR(","));
    add_field(t, "identity", e->who->anonymous ? SP_STR("anonymous") : e->who->identity);
    sp_text_printf(t, ",\"anonymous\":%s,\"allowed\":%s,", e->who->anonymous ? "true" : "false",
                   f->decision.allowed ? "true" : "false");
    sp_text_printf(t, "\"in_part\":%s,", e->grant == SP_GRANT_OVERLAP ? "true" : "false");
    add_field(t, "reason", sp_str_c(f->decision.reason));
    sp_text_add(t, SP_STR(","));
    if (f->rule != NULL || f->line != NULL) {
        sp_text_cause(&word, f);
        add_text(t, "rule", &word);
        sp_text_add(t, SP_STR(","));
    } else {
        sp_text_add(t, SP_STR("\"rule\":null,"));
    }
    sp_text_cause_level(&word, f);
    add_text(t, "level", &word);
    sp_text_add(t, SP_STR(","));
    add_field(t, "where", f->decision.where);
    sp_text_add(t, SP_STR(","));
    add_nearest(e, t);
    add_place(&f->place, t);
    add_application(e, t);
    add_values(t, f->decision.policy);
    sp_text_add(t, SP_STR("}\n"));
    sp_text_free(&word);
}
