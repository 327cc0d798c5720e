#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/registry.h"
#include "conf/schema.h"
#include "conf/text.h"

#define CONTEXTS_MAX 16

/* "policy, realm or topic"; main is no block. */
static void
describe_contexts(struct sp_text *t, const struct sp_str *contexts, unsigned n)
{
    unsigned blocks = n, k = 0;

    for (unsigned i = 0; i < n; i++) {
        if (sp_str_is(contexts[i], "main")) {
            sp_text_printf(t, "outside of all blocks%s", n > 1 ? ", or " : "");
            blocks--;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (!sp_str_is(contexts[i], "main")) {
            k++;
            sp_text_printf(t, "%s%.*s", k == 1 ? "in " : k == blocks ? " or " : ", ", SP_STR_ARG(contexts[i]));
        }
    }
}

/* Where a directive of this name may stand. False: nowhere. */
static bool
belongs(const struct sp_registry *r, struct sp_str name, struct sp_text *t)
{
    struct sp_str contexts[CONTEXTS_MAX];
    unsigned      n = 0;

    for (const struct sp_directive *d = sp_registry_next(r, name, NULL); d != NULL; d = sp_registry_next(r, name, d)) {
        struct sp_str rest = sp_str_c(d->contexts);
        while (rest.p != NULL && n < CONTEXTS_MAX) {
            contexts[n] = sp_str_cut(&rest, ' ');
            n += contexts[n].n > 0;
        }
    }
    if (n > 0) {
        sp_text_add(t, SP_STR("it belongs "));
        describe_contexts(t, contexts, n);
    }
    return n > 0;
}

/* The nearest name: of those that may stand here (context), or of all (NULL). */
static const char *
nearest(const struct sp_registry *r, struct sp_str name, const char *context)
{
    unsigned     count = sp_registry_count(r), n = 0;
    const char **names = calloc(count + 1, sizeof(*names)), *found = NULL;

    if (names == NULL) {
        return NULL;
    }
    for (unsigned id = 0; id < count; id++) {
        const struct sp_directive *d = sp_registry_at(r, id);
        if (context == NULL || sp_directive_in(d, context)) {
            names[n++] = d->name;
        }
    }
    found = sp_suggest(name, names);
    free(names);
    return found;
}

/* Directives of the configuration's design whose part of the gateway is not in this build: who knows them from there, or from a
 * build that has them, is not told of a misspelling. */
static bool
not_in_this_build(struct sp_str name)
{
    static const char *const absent[] = {"transport",   "app_layer", "key_mgmt", "schema",
                                         "policy_file", "on_stale",  NULL};

    for (unsigned i = 0; absent[i] != NULL; i++) {
        if (sp_str_is(name, absent[i])) {
            return true;
        }
    }
    return false;
}

void
sp_schema_unknown(struct sp_build *b, const struct sp_conf_node *node, struct sp_str name, const char *context)
{
    struct sp_text hint = {0};
    const char    *near;
    char           shown[80];

    (void)sp_str_escape(shown, sizeof(shown), name);
    if (belongs(b->registry, name, &hint)) {
        if (strcmp(context, "main") == 0) {
            (void)sp_build_error(b, node, 0, hint.p, "\"%s\" is not allowed outside of a block", shown);
        } else {
            (void)sp_build_error(b, node, 0, hint.p, "\"%s\" is not allowed in %s", shown, context);
        }
        sp_text_free(&hint);
        return;
    }
    near = not_in_this_build(name) ? NULL : nearest(b->registry, name, context);
    if (not_in_this_build(name)) {
        sp_text_add(&hint, SP_STR("not in this build; sallyport -D lists all directives that are"));
    } else if (near != NULL) {
        sp_text_printf(&hint, "did you mean \"%s\"?", near);
    } else if ((near = nearest(b->registry, name, NULL)) != NULL) {
        sp_text_printf(&hint, "did you mean \"%s\"? But ", near);
        (void)belongs(b->registry, sp_str_c(near), &hint);
    } else {
        sp_text_add(&hint, SP_STR("sallyport -D lists all directives"));
    }
    (void)sp_build_error(b, node, 0, hint.p, "unknown directive \"%s\"", shown);
    sp_text_free(&hint);
}

static int
too_few(struct sp_build *b, const struct sp_conf_node *node, const struct sp_directive *d)
{
    char hint[300];

    (void)snprintf(hint, sizeof(hint), "expected %s", d->syntax != NULL ? d->syntax : d->type->expects);
    if (node->nargs == 1) {
        return sp_build_error(b, node, node->nargs, hint, "\"%s\" needs an argument", d->name);
    }
    return sp_build_error(b, node, node->nargs, hint, "\"%s\" needs at least %u arguments", d->name, d->min_args);
}

static int
too_many(struct sp_build *b, const struct sp_conf_node *node, const struct sp_directive *d)
{
    unsigned    first = d->max_args + 1u;
    const char *hint = d->type == &sp_type_block ? "expected \"{\"" : "expected \";\"";
    char        name[80];

    if (node->args[first].pos.line > node->args[first - 1].pos.line) {
        struct sp_pos end = node->args[first - 1].pos;
        end.col += end.width;
        end.width = 1;
        sp_diag_add(b->diag, SP_ERROR, end, hint, "missing \"%s\" before \"%s\"", d->type == &sp_type_block ? "{" : ";",
                    sp_str_escape(name, sizeof(name), node->args[first].text));
        return -EINVAL;
    }
    if (d->max_args == 0) {
        return sp_build_error(b, node, 1, hint, "\"%s\" takes no argument", d->name);
    }
    return sp_build_error(b, node, first, hint, "\"%s\" takes %s%u argument%s", d->name,
                          d->min_args == d->max_args ? "" : "at most ", d->max_args, d->max_args == 1 ? "" : "s");
}

int
sp_schema_shape(struct sp_build *b, const struct sp_conf_node *node, const struct sp_directive *d)
{
    bool     block = d->type == &sp_type_block;
    unsigned n = node->nargs - 1;

    if (node->op == 'r') {
        return node->is_block ? sp_build_error(b, node, node->nargs, "expected \";\"", "\"%s\" opens no block", d->name)
                              : 0;
    }
    if (n < d->min_args) {
        return too_few(b, node, d);
    }
    if (n > d->max_args && d->max_args < UINT8_MAX) {
        return too_many(b, node, d);
    }
    if (block && !node->is_block) {
        return sp_build_error(b, node, node->nargs, "expected \"{\"", "\"%s\" opens a block", d->name);
    }
    if (!block && node->is_block) {
        return sp_build_error(b, node, node->nargs, "expected \";\"", "\"%s\" opens no block", d->name);
    }
    return 0;
}

void
sp_schema_duplicate(struct sp_build *b, const struct sp_conf_node *node, const struct sp_conf_node *first, bool named)
{
    char name[80], shown[128];

    (void)sp_str_escape(name, sizeof(name), node->args[0].text);
    if (named) {
        (void)sp_build_error(b, node, 1, NULL, "%s %s is defined twice", name,
                             sp_word_quote(shown, sizeof(shown), node->args[1].text));
    } else {
        (void)sp_build_error(b, node, 0, NULL, "\"%s\" is given twice in one block", name);
    }
    sp_build_note(b, first, named ? 1 : 0, named ? "first defined here" : "first given here");
}
