#include <stdio.h>

#include "conf/core_directives.h"
#include "conf/module.h"
#include "conf/registry.h"
#include "conf/text.h"

struct reference {
    bool           mdoc;
    struct sp_text text;
};

static const char *
merge_text(const struct sp_directive *d)
{
    static const char *const texts[] = {
        [SP_REPLACE] = "the innermost value holds",
        [SP_STRICTEST] = "the strictest value holds",
        [SP_EXTEND] = "lists of the levels are put together; \"=\" replaces, \"reset\" empties",
        [SP_LOCAL] = "in its own block only",
    };

    return texts[d->merge];
}

static const char *
apply_text(const struct sp_directive *d)
{
    static const char *const texts[] = {
        [SP_LIVE] = "live, on reload",
        [SP_NEW_SESSIONS] = "on reload, for new sessions",
        [SP_RESTART] = "on restart",
    };

    return texts[d->apply];
}

/* Text for mdoc(7): a backslash is \e, a hyphen \-, and no line begins with a dot or an apostrophe. */
static void
mdoc_text(struct sp_text *t, const char *s)
{
    if (*s == '.' || *s == '\'') {
        sp_text_add(t, SP_STR("\\&"));
    }
    for (; *s != '\0'; s++) {
        if (*s == '\\') {
            sp_text_add(t, SP_STR("\\e"));
        } else if (*s == '-') {
            sp_text_add(t, SP_STR("\\-"));
        } else if (*s == '\n') {
            sp_text_add(t, SP_STR(" "));
        } else {
            sp_text_add(t, (struct sp_str){s, 1});
        }
    }
}

/* An argument of a macro: in quotes, and quotes within doubled. */
static void
mdoc_arg(struct sp_text *t, const char *s)
{
    char one[2] = "";

    sp_text_add(t, SP_STR(" \""));
    for (; *s != '\0'; s++) {
        one[0] = *s;
        if (*s == '"') {
            sp_text_add(t, SP_STR("\"\""));
        } else {
            mdoc_text(t, one);
        }
    }
    sp_text_add(t, SP_STR("\""));
}

/* "main", or the blocks; "any" for those that may stand everywhere. */
static const char *
contexts_text(const struct sp_directive *d)
{
    return strcmp(d->contexts, "*") == 0 ? "any" : d->contexts;
}

static void
wrap(struct sp_text *t, const char *s)
{
    size_t column = 4;

    sp_text_add(t, SP_STR("   "));
    while (*s != '\0') {
        size_t n = strcspn(s, " ");
        if (column > 4 && column + 1 + n > 100) {
            sp_text_add(t, SP_STR("\n   "));
            column = 4;
        }
        sp_text_add(t, SP_STR(" "));
        sp_text_add(t, (struct sp_str){s, n});
        column += n + 1;
        s += n + strspn(s + n, " ");
    }
    sp_text_add(t, SP_STR("\n"));
}

static void
describe_text(struct sp_text *t, const struct sp_directive *d)
{
    bool block = d->type == &sp_type_block;

    sp_text_printf(t, "%s %s%s\n", d->name, d->syntax != NULL ? d->syntax : d->type->expects, block ? "" : ";");
    sp_text_printf(t, "    in        %s%s\n", contexts_text(d), d->repeat ? "; may be repeated" : "");
    if (!block) {
        sp_text_printf(t, "    default   %s\n", d->fallback != NULL ? d->fallback : "none");
        if (sp_directive_is_policy(d)) {
            sp_text_printf(t, "    levels    %s\n", merge_text(d));
        }
    }
    sp_text_printf(t, "    applies   %s\n", apply_text(d));
    wrap(t, d->help);
    sp_text_add(t, SP_STR("\n"));
}

static void
describe_mdoc(struct sp_text *t, const struct sp_directive *d)
{
    bool block = d->type == &sp_type_block;

    sp_text_printf(t, ".It Ic %s", d->name);
    mdoc_arg(t, d->syntax != NULL ? d->syntax : d->type->expects);
    sp_text_add(t, SP_STR("\n"));
    mdoc_text(t, d->help);
    sp_text_printf(t, "\n.br\nIn: %s%s.\n", contexts_text(d), d->repeat ? "; may be repeated" : "");
    if (!block) {
        sp_text_add(t, SP_STR("Default:"));
        sp_text_add(t, SP_STR(" "));
        mdoc_text(t, d->fallback != NULL ? d->fallback : "none");
        sp_text_add(t, SP_STR(".\n"));
        if (sp_directive_is_policy(d)) {
            sp_text_add(t, SP_STR("Levels: "));
            mdoc_text(t, merge_text(d));
            sp_text_add(t, SP_STR(".\n"));
        }
    }
    sp_text_add(t, SP_STR("Applies: "));
    mdoc_text(t, apply_text(d));
    sp_text_add(t, SP_STR(".\n"));
}

static void
begin(struct reference *r, const char *owner)
{
    if (r->mdoc) {
        sp_text_add(&r->text, SP_STR(".Ss "));
        mdoc_text(&r->text, owner);
        sp_text_add(&r->text, SP_STR("\n.Bl -tag -width Ds\n"));
    } else {
        sp_text_printf(&r->text, "== %s ==\n\n", owner);
    }
}

static int
end(struct reference *r, int (*write)(void *arg, struct sp_str text), void *arg)
{
    int err;

    if (r->mdoc) {
        sp_text_add(&r->text, SP_STR(".El\n"));
    }
    err = write(arg, sp_text_str(&r->text));
    sp_text_reset(&r->text);
    return err;
}

int
sp_registry_print(const struct sp_registry *r, bool mdoc, int (*write)(void *arg, struct sp_str text), void *arg)
{
    struct reference ref = {.mdoc = mdoc};
    unsigned         id = 0, stop = sp_registry_count(r);
    int              err = 0;

    for (unsigned i = 0; i < sp_registry_modules(r); i++) {
        stop -= (unsigned)sp_registry_module(r, i)->ndirectives;
    }
    for (unsigned i = 0; i <= sp_registry_modules(r) && err == 0; i++) {
        if (i > 0) {
            stop += (unsigned)sp_registry_module(r, i - 1)->ndirectives;
        }
        if (id == stop) {
            continue;
        }
        begin(&ref, i == 0 ? "core" : sp_registry_module(r, i - 1)->name);
        for (; id < stop; id++) {
            if (mdoc) {
                describe_mdoc(&ref.text, sp_registry_at(r, id));
            } else {
                describe_text(&ref.text, sp_registry_at(r, id));
            }
        }
        err = end(&ref, write, arg);
    }
    sp_text_free(&ref.text);
    return err;
}
