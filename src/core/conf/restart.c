#include <errno.h>
#include <stdlib.h>

#include "conf/provenance.h"
#include "conf/registry.h"

struct check {
    const struct sp_snapshot *was, *now;
    struct sp_diag           *diag;
};

static const struct sp_value *
value_of(const struct sp_snapshot *s, const struct sp_block *block, unsigned id)
{
    if (block != NULL && (block->values[id] != NULL || (block->cuts != NULL && block->cuts[id] != NULL))) {
        return block->values[id];
    }
    return s->defaults[id];
}

/* Two values, or lists of them, that mean the same: word by word, or by the type's order ("64k" and "65536"). */
static bool
same(const struct sp_value *a, const struct sp_value *b)
{
    while (a != NULL && b != NULL) {
        const struct sp_type *type = a->directive->type;
        if (!sp_value_same(a, b) && (type->compare == NULL || type->compare(a, b) != 0)) {
            return false;
        }
        a = a->next;
        b = b->next;
    }
    return a == b;
}

static struct sp_pos
pos_of(const struct sp_value *v)
{
    return v == NULL || v->node == NULL ? (struct sp_pos){0} : sp_node_pos(v->node, 1);
}

static void
report(struct check *c, const struct sp_directive *d, const struct sp_value *was, const struct sp_value *now)
{
    const char *name = d->name;
    char        a[200] = "not set", b[200] = "not set";

    if (was != NULL) {
        (void)sp_value_words(a, sizeof(a), was);
    }
    if (now != NULL) {
        (void)sp_value_words(b, sizeof(b), now);
    }
    sp_diag_add(c->diag, SP_ERROR, pos_of(now != NULL && now->node != NULL ? now : was),
                "restart sallyport to change it", "%s cannot change by a reload: %s is in force, %s is asked for", name,
                a, b);
    if (now != NULL && now->node != NULL) {
        sp_diag_add(c->diag, SP_NOTE, pos_of(was), NULL, "%s",
                    was != NULL && was->node != NULL ? "in force since this was read"
                                                     : "in force is the built-in default");
    } else {
        sp_diag_add(c->diag, SP_NOTE, (struct sp_pos){0}, NULL, "asked for is the built-in default");
    }
}

/* The block of the same kind and name. */
static const struct sp_block *
counterpart(const struct sp_block *parent, const struct sp_block *block)
{
    for (const struct sp_block *b = parent == NULL ? NULL : sp_block_first(parent, block->context); b != NULL;
         b = sp_block_next(b)) {
        if (b->node->nargs != block->node->nargs) {
            continue;
        }
        unsigned i = 1;
        while (i < b->node->nargs && sp_str_eq(b->node->args[i].text, block->node->args[i].text)) {
            i++;
        }
        if (i == b->node->nargs) {
            return b;
        }
    }
    return NULL;
}

static bool
has_restart(const struct sp_registry *r, const char *context)
{
    for (unsigned id = 0; id < sp_registry_count(r); id++) {
        const struct sp_directive *d = sp_registry_at(r, id);
        if (d->apply == SP_RESTART && sp_directive_in(d, context)) {
            return true;
        }
    }
    return false;
}

/* May a block of this context, or one within it, hold a directive that needs a restart? */
static bool
concerns(const struct sp_registry *r, const char *context, unsigned depth)
{
    bool found = has_restart(r, context);

    for (unsigned id = 0; id < sp_registry_count(r) && !found && depth < 4; id++) {
        const struct sp_directive *d = sp_registry_at(r, id);
        found = d->type == &sp_type_block && sp_directive_in(d, context) && concerns(r, d->name, depth + 1);
    }
    return found;
}

/* Either block may be missing: then the built-in values stand for it. */
static void
check_block(struct check *c, const struct sp_block *was, const struct sp_block *now)
{
    const struct sp_registry *r = c->now->registry;
    const char               *context = now != NULL ? now->context : was->context;

    for (unsigned id = 0; id < sp_registry_count(r); id++) {
        const struct sp_directive *d = sp_registry_at(r, id);
        if (d->apply == SP_RESTART && d->type != &sp_type_block && sp_directive_in(d, context)) {
            const struct sp_value *a = value_of(c->was, was, id), *b = value_of(c->now, now, id);
            if (!same(a, b)) {
                report(c, d, a, b);
            }
        }
    }
    for (const struct sp_block *b = now == NULL ? NULL : now->children; b != NULL; b = b->next) {
        if (concerns(r, b->context, 0)) {
            check_block(c, counterpart(was, b), b);
        }
    }
    for (const struct sp_block *b = was == NULL ? NULL : was->children; b != NULL; b = b->next) {
        if (concerns(r, b->context, 0) && counterpart(now, b) == NULL) {
            check_block(c, b, NULL);
        }
    }
}

int
sp_snapshot_restart_check(const struct sp_snapshot *was, const struct sp_snapshot *now, char **errors)
{
    struct check  c = {.was = was, .now = now};
    struct sp_str text;
    int           err = sp_diag_create(&c.diag);

    *errors = NULL;
    if (err < 0) {
        return err;
    }
    check_block(&c, was->main, now->main);
    if (sp_diag_errors(c.diag) > 0) {
        text = sp_diag_text(c.diag);
        *errors = sp_str_dup(text);
        err = -EINVAL;
    }
    sp_diag_destroy(c.diag);
    return err;
}
