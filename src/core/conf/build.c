#include "conf/build.h"

#include <errno.h>
#include <stdio.h>

#include "conf/path.h"
#include "conf/registry.h"
#include "conf/snapshot.h"
#include "conf/text.h"

struct sp_pos
sp_node_pos(const struct sp_conf_node *node, unsigned i)
{
    if (node == NULL) {
        return (struct sp_pos){0};
    }
    return i < node->nargs ? node->args[i].pos : node->end;
}

int
sp_build_error(struct sp_build *b, const struct sp_conf_node *node, unsigned i, const char *hint, const char *fmt, ...)
{
    va_list ap;

    b->muted = node == NULL ? sp_diag_errors(b->diag) > 0 : node->bad;
    if (!b->muted) {
        va_start(ap, fmt);
        sp_diag_vadd(b->diag, SP_ERROR, sp_node_pos(node, i), hint, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

void
sp_build_warn(struct sp_build *b, const struct sp_conf_node *node, unsigned i, const char *hint, const char *fmt, ...)
{
    va_list ap;

    b->muted = node != NULL && node->bad;
    if (!b->muted) {
        va_start(ap, fmt);
        sp_diag_vadd(b->diag, SP_WARNING, sp_node_pos(node, i), hint, fmt, ap);
        va_end(ap);
    }
}

void
sp_build_note(struct sp_build *b, const struct sp_conf_node *node, unsigned i, const char *fmt, ...)
{
    va_list ap;

    if (!b->muted) {
        va_start(ap, fmt);
        sp_diag_vadd(b->diag, SP_NOTE, sp_node_pos(node, i), NULL, fmt, ap);
        va_end(ap);
    }
}

int
sp_build_file(struct sp_build *b, const struct sp_conf_node *node, unsigned i, struct sp_str *bytes)
{
    struct sp_str name = i < node->nargs ? node->args[i].text : (struct sp_str){NULL, 0}, path;
    char          shown[512];
    int           err;

    if (name.n == 0 || memchr(name.p, '\0', name.n) != NULL) {
        return sp_build_error(b, node, i, "expected a path", "empty path");
    }
    path = sp_path_full(b->arena, b->prefix, name);
    err = b->source->read(b->source, path.p, bytes);
    if (err == 0 && bytes->n == 0) {
        err = -ENODATA;
    }
    if (err < 0) {
        (void)sp_build_error(b, node, i, NULL, "cannot read %s: %s", sp_word_quote(shown, sizeof(shown), name),
                             sp_file_error(err));
    }
    return err;
}

static const struct sp_block *
of_context(const struct sp_block *block, const char *context)
{
    while (block != NULL && strcmp(block->context, context) != 0) {
        block = block->next;
    }
    return block;
}

const struct sp_block *
sp_block_first(const struct sp_block *parent, const char *context)
{
    return parent == NULL ? NULL : of_context(parent->children, context);
}

const struct sp_block *
sp_block_next(const struct sp_block *block)
{
    return of_context(block->next, block->context);
}

const struct sp_value *
sp_block_value(const struct sp_snapshot *s, const struct sp_block *b, const char *directive)
{
    const struct sp_directive *d = sp_registry_find(s->registry, sp_str_c(directive), b->context);
    int                        id = d == NULL ? -1 : sp_registry_id(s->registry, d);

    if (id < 0) {
        return NULL;
    }
    if (b->values[id] != NULL || (b->cuts != NULL && b->cuts[id] != NULL)) {
        return b->values[id];
    }
    return s->defaults[id];
}

int64_t
sp_block_num(const struct sp_snapshot *s, const struct sp_block *b, const char *directive)
{
    const struct sp_value *v = sp_block_value(s, b, directive);

    return v == NULL ? 0 : v->u.num;
}

struct sp_str
sp_block_str(const struct sp_snapshot *s, const struct sp_block *b, const char *directive)
{
    const struct sp_value *v = sp_block_value(s, b, directive);

    return v == NULL ? (struct sp_str){NULL, 0} : v->u.str;
}
