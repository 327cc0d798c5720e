#include "conf/provenance.h"
#include "conf/registry.h"
#include "conf/schema.h"

/* Depth is bounded by the parser. */
#define INDENT 4

struct dump {
    const struct sp_snapshot *snapshot;
    int (*write)(void *arg, struct sp_str text);
    void          *arg;
    bool           bare;
    unsigned       depth;
    struct sp_text line;
};

static int
flush(struct dump *d)
{
    int err = d->write(d->arg, sp_text_str(&d->line));

    sp_text_reset(&d->line);
    return err;
}

static void
comment(struct dump *d, const struct sp_conf_node *node)
{
    char where[600];

    if (!d->bare) {
        sp_text_printf(&d->line, "  # %s", sp_where(where, sizeof(where), node));
    }
    sp_text_add(&d->line, SP_STR("\n"));
}

static void
statement(struct dump *d, const struct sp_conf_node *node)
{
    sp_text_printf(&d->line, "%*s%s", (int)(d->depth * INDENT), "", node->directive->name);
    if (node->op == '+' || node->op == '=') {
        sp_text_printf(&d->line, " %s", node->op == '+' ? "+=" : "=");
    } else if (node->op == 'r') {
        sp_text_add(&d->line, SP_STR(" reset"));
    }
    for (unsigned i = 1; i < node->nargs; i++) {
        sp_text_add(&d->line, SP_STR(" "));
        if (node->args[i].quoted) {
            sp_text_quoted(&d->line, node->args[i].text);
        } else {
            sp_text_word(&d->line, node->args[i].text);
        }
    }
    if (node->floor) {
        sp_text_add(&d->line, SP_STR(" floor"));
    }
}

/* The built-in values of what may stand in this block and does not. */
static int
defaults(struct dump *d, const struct sp_block *block)
{
    const struct sp_registry *r = d->snapshot->registry;
    int                       err = 0;

    for (unsigned id = 0; id < sp_registry_count(r) && err == 0; id++) {
        const struct sp_directive *dir = sp_registry_at(r, id);
        if (dir->fallback != NULL && block->values[id] == NULL && sp_directive_in(dir, block->context) &&
            (block->cuts == NULL || block->cuts[id] == NULL)) {
            sp_text_printf(&d->line, "%*s# %s %s;  default\n", (int)(d->depth * INDENT), "", dir->name, dir->fallback);
            err = flush(d);
        }
    }
    return err;
}

/* The values in force in this block that come from an outer one. Built-in ones stand with the global level. */
static int
inherited(struct dump *d, const struct sp_block *block)
{
    struct sp_snapshot *s = (struct sp_snapshot *)(uintptr_t)d->snapshot; /* the memo of folds is all that changes */
    enum sp_level       level = sp_context_level(block->context);
    struct sp_path      path = {.realm = level == SP_LEVEL_REALM ? block : block->parent};
    const struct sp_policy *p;
    char                    where[600];
    unsigned                n;
    const unsigned         *ids = sp_registry_policy_ids(s->registry, &n);
    int                     err = 0;

    if (level == SP_LEVEL_TOPIC) {
        path.topics[path.ntopics++] = block;
    } else if (level == SP_LEVEL_APPLICATION) {
        path.application = block;
    }
    p = sp_policy_fold(s, &path);
    for (unsigned i = 0; i < n && err == 0; i++) {
        for (const struct sp_value *v = p->values[ids[i]]; v != NULL && err == 0; v = v->next) {
            if (v->level == level || v->level == SP_LEVEL_DEFAULT) {
                continue;
            }
            sp_text_printf(&d->line, "%*s# %s ", (int)(d->depth * INDENT), "", v->directive->name);
            sp_text_value(&d->line, v);
            sp_text_printf(&d->line, ";  %s %s\n", sp_level_name(v->level), sp_where(where, sizeof(where), v->node));
            err = flush(d);
        }
    }
    return err;
}

static int
annotate(struct dump *d, const struct sp_block *block)
{
    if (d->bare) {
        return 0;
    }
    return sp_context_level(block->context) == SP_LEVEL_GLOBAL ? defaults(d, block) : inherited(d, block);
}

static const struct sp_block *
block_of(const struct sp_block *parent, const struct sp_conf_node *node)
{
    const struct sp_block *b = parent->children;

    while (b != NULL && b->node != node) {
        b = b->next;
    }
    return b;
}

static int
dump_block(struct dump *d, const struct sp_block *block, const struct sp_conf_node *node)
{
    const struct sp_block *at = block->children; /* blocks come in the order of the statements */
    int                    err = 0;

    for (const struct sp_conf_node *c = node->children; c != NULL && err == 0; c = c->next) {
        statement(d, c);
        if (!c->is_block) {
            sp_text_add(&d->line, SP_STR(";"));
            comment(d, c);
            err = flush(d);
            continue;
        }
        const struct sp_block *child = at != NULL && at->node == c ? at : block_of(block, c);
        if (child == NULL) {
            sp_text_reset(&d->line);
            continue;
        }
        at = child->next;
        sp_text_add(&d->line, SP_STR(" {"));
        comment(d, c);
        err = flush(d);
        d->depth++;
        if (err == 0) {
            err = dump_block(d, child, c);
        }
        d->depth--;
        sp_text_printf(&d->line, "%*s}\n", (int)(d->depth * INDENT), "");
        err = err == 0 ? flush(d) : err;
    }
    return err == 0 ? annotate(d, block) : err;
}

/* Without a policy block: the values in force at the global level are the built-in ones. */
static int
global_defaults(struct dump *d)
{
    unsigned        n;
    const unsigned *ids = sp_registry_policy_ids(d->snapshot->registry, &n);
    int             err = 0;

    for (unsigned i = 0; i < n && err == 0; i++) {
        const struct sp_directive *dir = sp_registry_at(d->snapshot->registry, ids[i]);
        if (dir->fallback != NULL) {
            sp_text_printf(&d->line, "# policy: %s %s;  default\n", dir->name, dir->fallback);
            err = flush(d);
        }
    }
    return err;
}

static int
dump(const struct sp_snapshot *s, bool bare, int (*write)(void *arg, struct sp_str text), void *arg)
{
    struct dump d = {.snapshot = s, .write = write, .arg = arg, .bare = bare};
    int         err = dump_block(&d, s->main, s->root);

    if (err == 0 && !bare && sp_block_first(s->main, "policy") == NULL) {
        err = global_defaults(&d);
    }
    sp_text_free(&d.line);
    return err;
}

int
sp_snapshot_dump(const struct sp_snapshot *s, int (*write)(void *arg, struct sp_str text), void *arg)
{
    return dump(s, false, write, arg);
}

int
sp_snapshot_dump_bare(const struct sp_snapshot *s, int (*write)(void *arg, struct sp_str text), void *arg)
{
    return dump(s, true, write, arg);
}
