#include "conf/schema.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "conf/lexer.h"
#include "conf/registry.h"
#include "conf/snapshot.h"
#include "conf/text.h"

/* What must be remembered while a block is gone through. */
struct scope {
    struct sp_block            *block;
    const struct sp_conf_node **first; /* by id: the first statement */
    struct sp_value           **tail;  /* by id: the end of a list */
    struct sp_map               names; /* blocks by context and name */
    struct sp_block           **children;
    bool                        plus; /* there was a `+=` */
};

static int check_block(struct sp_build *b, struct sp_block *block, struct sp_conf_node *node);

enum sp_level
sp_context_level(const char *context)
{
    for (enum sp_level l = SP_LEVEL_REALM; l < SP_LEVELS; l++) {
        if (strcmp(context, sp_level_name(l)) == 0) {
            return l;
        }
    }
    return SP_LEVEL_GLOBAL;
}

static int
mark_bad(struct sp_conf_node *node)
{
    for (; node != NULL && node->parent != NULL; node = node->parent) {
        node->bad = true;
    }
    return -EINVAL;
}

/* A forgotten semicolon makes two statements one: the second begins on a line of its own with the name of a directive that
 * may stand here. Reports it and cuts the statement in two. */
static int
split_statement(struct sp_build *b, struct sp_conf_node *node, const char *context)
{
    for (unsigned i = 1; i < node->nargs; i++) {
        const struct sp_conf_arg *a = &node->args[i];
        struct sp_conf_node      *second;
        struct sp_pos             end = node->args[i - 1].pos;
        char                      name[80];

        if (a->quoted || a->pos.line <= end.line || sp_registry_find(b->registry, a->text, context) == NULL) {
            continue;
        }
        second = sp_arena_alloc(b->arena, sizeof(*second));
        *second = *node;
        second->args = &node->args[i];
        second->nargs = node->nargs - i;
        for (struct sp_conf_node *c = second->children; c != NULL; c = c->next) {
            c->parent = second;
        }
        end.col += end.width;
        end.width = 1;
        node->nargs = i;
        node->end = end;
        node->is_block = false;
        node->children = NULL;
        node->next = second;
        sp_diag_add(b->diag, SP_ERROR, end, "expected \";\"", "missing \";\" before the directive \"%s\"",
                    sp_str_escape(name, sizeof(name), a->text));
        sp_diag_add(b->diag, SP_NOTE, a->pos, "in quotes it would be an argument", "the directive is here");
        return -EINVAL;
    }
    return 0;
}

static void
remove_arg(struct sp_conf_node *node, unsigned i)
{
    memmove(&node->args[i], &node->args[i + 1], (node->nargs - i - 1) * sizeof(node->args[0]));
    node->nargs--;
}

static bool
is_word(const struct sp_conf_node *node, unsigned i, const char *word)
{
    return i < node->nargs && !node->args[i].quoted && sp_str_is(node->args[i].text, word);
}

/* `name += …`, `name+= …`, `name = …`: the operator leaves the arguments and goes into node->op. */
static void
take_operator(struct sp_conf_node *node)
{
    struct sp_conf_arg *name = &node->args[0];

    if (is_word(node, 1, "+=") || is_word(node, 1, "=")) {
        node->op = node->args[1].text.p[0];
        remove_arg(node, 1);
    } else if (!name->quoted && name->text.n > 1 && name->text.p[name->text.n - 1] == '=') {
        unsigned n = name->text.p[name->text.n - 2] == '+' ? 2 : 1;
        node->op = n == 2 ? '+' : '=';
        name->text.n -= n;
        name->pos.width -= n;
    }
}

static int
take_modifiers(struct sp_build *b, struct sp_conf_node *node, const struct sp_directive *d)
{
    if (d->merge == SP_EXTEND && node->nargs == 2 && node->op == 0 && is_word(node, 1, "reset")) {
        node->op = 'r';
        remove_arg(node, 1);
        return 0;
    }
    if (d->merge != SP_EXTEND && node->op != 0) {
        return sp_build_error(b, node, 0, "only lists take \"+=\", \"=\" and \"reset\"", "\"%s\" is no list", d->name);
    }
    if (sp_directive_is_policy(d) && node->nargs > 1 && is_word(node, node->nargs - 1, "floor")) {
        node->floor = true;
        remove_arg(node, node->nargs - 1);
    }
    return 0;
}

static void
add_cut(struct sp_build *b, struct sp_block *block, unsigned id, const struct sp_conf_node *node)
{
    if (block->cuts == NULL) {
        block->cuts = sp_arena_array(b->arena, sp_registry_count(b->registry), sizeof(*block->cuts));
    }
    if (block->cuts[id] == NULL) {
        block->cuts[id] = node;
    }
}

static int
check_value(struct sp_build *b, struct scope *s, struct sp_conf_node *node, const struct sp_directive *d, unsigned id)
{
    struct sp_value *v;
    bool             list = d->repeat || d->merge == SP_EXTEND;

    if (node->op == '=' || node->op == 'r') {
        add_cut(b, s->block, id, node);
    }
    if (node->op == 'r') {
        return 0;
    }
    s->plus = s->plus || node->op == '+';
    v = sp_arena_alloc(b->arena, sizeof(*v));
    v->directive = d;
    v->node = node;
    v->level = sp_context_level(s->block->context);
    v->floor = node->floor;
    if (d->type->parse(b, node, v) < 0) {
        return -EINVAL;
    }
    if (list && s->tail[id] != NULL) {
        s->tail[id]->next = v;
    } else {
        s->block->values[id] = v;
    }
    s->tail[id] = v;
    return 0;
}

/* Two blocks of one kind must not have one name. */
static const struct sp_conf_node *
same_name(struct sp_build *b, struct scope *s, const struct sp_conf_node *node)
{
    struct sp_str name = node->args[1].text, kind = node->args[0].text, key;
    char         *p = sp_arena_alloc(b->arena, kind.n + 1 + name.n);
    void         *found;

    memcpy(p, kind.p, kind.n);
    if (name.n > 0) {
        memcpy(p + kind.n + 1, name.p, name.n);
    }
    key = (struct sp_str){p, kind.n + 1 + name.n};
    found = sp_map_get(&s->names, key);
    if (found == NULL) {
        (void)sp_map_put(&s->names, key, (void *)(uintptr_t)node, NULL);
    }
    return found;
}

static int
check_child(struct sp_build *b, struct scope *s, struct sp_conf_node *node, const struct sp_directive *d,
            bool duplicate)
{
    struct sp_block *block = sp_arena_alloc(b->arena, sizeof(*block));

    block->node = node;
    block->context = d->name;
    block->parent = s->block;
    block->values = sp_arena_array(b->arena, sp_registry_count(b->registry), sizeof(*block->values));
    if (!duplicate) {
        *s->children = block;
        s->children = &block->next;
    }
    return check_block(b, block, node);
}

static int
check_duplicate(struct sp_build *b, struct scope *s, struct sp_conf_node *node, const struct sp_directive *d,
                unsigned id)
{
    const struct sp_conf_node *first = NULL;
    bool                       named = d->type == &sp_type_block && d->repeat && node->nargs > 1;

    if (named) {
        first = same_name(b, s, node);
    } else if (!d->repeat && d->merge != SP_EXTEND) {
        first = s->first[id];
    }
    if (s->first[id] == NULL) {
        s->first[id] = node;
    }
    if (first == NULL) {
        return 0;
    }
    sp_schema_duplicate(b, node, first, named);
    return -EINVAL;
}

static int
check_node(struct sp_build *b, struct scope *s, struct sp_conf_node *node)
{
    const struct sp_directive *d;
    int                        id, err, inner = 0;

    take_operator(node);
    d = sp_registry_find(b->registry, node->args[0].text, s->block->context);
    if (d == NULL) {
        sp_schema_unknown(b, node, node->args[0].text, s->block->context);
        return mark_bad(node);
    }
    node->directive = d;
    id = sp_registry_id(b->registry, d);
    if (take_modifiers(b, node, d) < 0 || sp_schema_shape(b, node, d) < 0) {
        return mark_bad(node);
    }
    err = check_duplicate(b, s, node, d, (unsigned)id);
    if (d->type == &sp_type_block) {
        inner = check_child(b, s, node, d, err < 0);
    } else if (err == 0) {
        err = check_value(b, s, node, d, (unsigned)id);
    }
    return err < 0 || inner < 0 ? mark_bad(node) : 0;
}

/* `+=` in a block that is no policy level adds to the built-in list. */
static void
prepend_defaults(struct sp_build *b, struct sp_block *block, const struct sp_conf_node *node)
{
    if (sp_context_level(block->context) != SP_LEVEL_GLOBAL || strcmp(block->context, "policy") == 0) {
        return;
    }
    for (const struct sp_conf_node *c = node->children; c != NULL; c = c->next) {
        int id = c->op == '+' && c->directive != NULL ? sp_registry_id(b->registry, c->directive) : -1;
        const struct sp_value *v = id < 0 ? NULL : b->snapshot->defaults[id];
        struct sp_value       *copy;

        if (v == NULL || block->values[id] == NULL || block->values[id]->node == NULL ||
            (block->cuts != NULL && block->cuts[id] != NULL)) {
            continue;
        }
        copy = sp_arena_alloc(b->arena, sizeof(*copy));
        *copy = *v;
        copy->next = block->values[id];
        block->values[id] = copy;
    }
}

static int
check_block(struct sp_build *b, struct sp_block *block, struct sp_conf_node *node)
{
    size_t       count = sp_registry_count(b->registry);
    void        *memory = calloc(count * 2 + 1, sizeof(void *));
    struct scope s = {.block = block, .children = &block->children};
    int          err = 0;

    if (memory == NULL) {
        abort(); /* as arenas do */
    }
    s.first = memory;
    s.tail = (struct sp_value **)memory + count;
    for (struct sp_conf_node *c = node->children; c != NULL; c = c->next) {
        if (c->bad) {
            err = -EINVAL;
            continue;
        }
        if (split_statement(b, c, block->context) < 0) {
            err = -EINVAL;
        }
        if (check_node(b, &s, c) < 0) {
            err = -EINVAL;
        }
    }
    if (s.plus) {
        prepend_defaults(b, block, node);
    }
    sp_map_clear(&s.names);
    free(memory);
    return err;
}

int
sp_schema_apply(struct sp_build *b, struct sp_conf_node *root)
{
    struct sp_block *main = sp_arena_alloc(b->arena, sizeof(*main));

    main->context = "main";
    main->values = sp_arena_array(b->arena, sp_registry_count(b->registry), sizeof(*main->values));
    b->snapshot->main = main;
    b->snapshot->root = root;
    return check_block(b, main, root);
}

/* The statement `NAME FALLBACK;` without a place. */
static struct sp_conf_node *
default_node(struct sp_build *b, const struct sp_directive *d)
{
    struct sp_conf_file *file = sp_arena_alloc(b->arena, sizeof(*file));
    struct sp_conf_node *node = sp_arena_alloc(b->arena, sizeof(*node));
    struct sp_lexer      l;
    struct sp_token      t;
    size_t               words = strlen(d->fallback) / 2 + 2;

    file->text = sp_str_c(d->fallback);
    node->args = sp_arena_array(b->arena, words, sizeof(*node->args));
    node->args[node->nargs++].text = sp_str_c(d->name);
    sp_lexer_init(&l, file, b->arena, b->diag);
    for (sp_lexer_next(&l, &t); t.kind == SP_TOKEN_WORD; sp_lexer_next(&l, &t)) {
        node->args[node->nargs].text = t.text;
        node->args[node->nargs++].quoted = t.quoted;
    }
    return node;
}

int
sp_schema_defaults(struct sp_build *b)
{
    unsigned count = sp_registry_count(b->registry);
    int      err = 0;

    b->snapshot->defaults = sp_arena_array(b->arena, count, sizeof(*b->snapshot->defaults));
    for (unsigned id = 0; id < count; id++) {
        const struct sp_directive *d = sp_registry_at(b->registry, id);
        struct sp_value           *v;

        if (d->fallback == NULL) {
            continue;
        }
        v = sp_arena_alloc(b->arena, sizeof(*v));
        v->directive = d;
        v->level = SP_LEVEL_DEFAULT;
        if (d->type->parse(b, default_node(b, d), v) < 0) {
            sp_diag_add(b->diag, SP_NOTE, (struct sp_pos){0}, NULL, "this is the built-in default of \"%s\"", d->name);
            err = -EINVAL;
            continue;
        }
        b->snapshot->defaults[id] = v;
    }
    return err;
}
