#include <errno.h>
#include <stdlib.h>

#include "conf/lexer.h"
#include "conf/path.h"
#include "conf/text.h"
#include "conf/tree.h"

#define INCLUDE_DEPTH_MAX 16
#define BLOCK_DEPTH_MAX   32
#define FILES_MAX         65536u
#define WORDS_MAX         4000000u
#define ARGS_MAX          65536u

/* A block that is open, and where its next statement goes. */
struct open {
    struct sp_conf_node  *node;
    struct sp_conf_node **tail;
    uint32_t              indent; /* column of the statement when it is the first on its line, else 0 */
};

/* A file that is being read; a chain for the detection of cycles. */
struct reading {
    const struct sp_conf_file *file;
    const char                *path;
    struct reading            *outer;
    size_t                     base; /* blocks open when it began */
    struct sp_pos              odd;  /* the first `}` that does not stand below what it closes */
    struct sp_pos              odd_opened;
};

struct parser {
    struct sp_arena    *arena;
    struct sp_source   *source;
    struct sp_diag     *diag;
    const char         *prefix;
    struct reading     *reading;
    struct open        *open;
    size_t              nopen, open_cap;
    struct sp_conf_arg *args; /* of the statement being read */
    size_t              nargs, args_cap;
    bool                bad, first; /* of that statement */
    unsigned            depth, files, words;
    bool                full; /* a limit was reached: no more is read */
    bool                lost; /* something was dropped that may have meant anything */
};

static void parse_file(struct parser *p, const char *path, struct sp_pos from);

static void *
grow(void *array, size_t *cap, size_t each)
{
    size_t want = *cap == 0 ? 16 : *cap * 2;
    void  *p = realloc(array, want * each);

    if (p == NULL) {
        abort(); /* as arenas do; a probe runs first */
    }
    *cap = want;
    return p;
}

static void
push(struct parser *p, struct sp_conf_node *node, uint32_t indent)
{
    if (p->nopen == p->open_cap) {
        p->open = grow(p->open, &p->open_cap, sizeof(*p->open));
    }
    p->open[p->nopen++] = (struct open){node, &node->children, indent};
}

/* What is bad has only bad blocks around it: the walk ends at the first one, and blocks of any depth cost no more than their bytes. */
static void
mark_bad(struct parser *p, struct sp_conf_node *node)
{
    p->lost = true;
    for (; node != NULL && node->parent != NULL && !node->bad; node = node->parent) {
        node->bad = true;
    }
}

static struct sp_pos
behind(struct sp_pos pos)
{
    pos.col += pos.width;
    pos.width = 1;
    return pos;
}

static void
add_arg(struct parser *p, const struct sp_token *t)
{
    if (p->nargs == ARGS_MAX || p->words == WORDS_MAX) {
        if (!p->full) {
            p->full = true;
            sp_diag_add(p->diag, SP_ERROR, t->pos, NULL, "%s",
                        p->nargs == ARGS_MAX ? "more than 65536 words in one statement"
                                             : "the configuration is too large");
        }
        return;
    }
    if (p->nargs == p->args_cap) {
        p->args = grow(p->args, &p->args_cap, sizeof(*p->args));
    }
    if (p->nargs == 0) {
        p->bad = false;
        p->first = t->first;
    }
    p->bad = p->bad || t->bad;
    p->args[p->nargs++] = (struct sp_conf_arg){t->text, t->pos, t->quoted};
    p->words++;
}

/* Makes the node of the words read so far and hangs it into the innermost open block. */
static struct sp_conf_node *
add_node(struct parser *p, struct sp_pos end, bool is_block)
{
    struct open         *o = &p->open[p->nopen - 1];
    struct sp_conf_node *node = sp_arena_alloc(p->arena, sizeof(*node));

    node->args = sp_arena_array(p->arena, p->nargs, sizeof(*node->args));
    if (p->nargs > 0) {
        memcpy(node->args, p->args, p->nargs * sizeof(*node->args));
    }
    node->nargs = (unsigned)p->nargs;
    node->parent = o->node;
    node->end = end;
    node->is_block = is_block;
    *o->tail = node;
    o->tail = &node->next;
    if (p->bad || p->nargs == 0) {
        mark_bad(p, node);
    }
    p->nargs = 0;
    p->bad = false;
    return node;
}

static void
report_read(struct parser *p, struct sp_pos pos, const char *path, const char *what, int err)
{
    char shown[512];

    p->lost = true;
    sp_diag_add(p->diag, SP_ERROR, pos, NULL, "cannot read %s%s: %s", what,
                sp_word_quote(shown, sizeof(shown), sp_path_shown(p->prefix, sp_str_c(path))), sp_file_error(err));
}

static void
include_glob(struct parser *p, const char *pattern, struct sp_pos pos)
{
    struct sp_str *paths = NULL;
    size_t         count = 0;
    int            err = p->source->glob(p->source, pattern, &paths, &count);

    if (err < 0) {
        report_read(p, pos, pattern, "what matches ", err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        parse_file(p, sp_arena_str(p->arena, paths[i]).p, pos);
    }
}

static void
include(struct parser *p)
{
    struct sp_conf_arg *a = p->args;
    size_t              n = p->nargs;
    struct sp_str       name;
    struct sp_pos       pos;
    bool                bad = p->bad;

    p->nargs = 0;
    p->bad = false;
    if (bad || n != 2) {
        p->lost = true;
    }
    if (bad) {
        return;
    }
    if (n > 2 && a[2].pos.line > a[1].pos.line) {
        sp_diag_add(p->diag, SP_ERROR, behind(a[1].pos), "expected \";\"", "missing \";\" after the path");
        return;
    }
    if (n != 2 || a[1].text.n == 0 || memchr(a[1].text.p, '\0', a[1].text.n) != NULL) {
        sp_diag_add(p->diag, SP_ERROR,
                    n > 2    ? a[2].pos
                    : n == 2 ? a[1].pos
                             : behind(a[0].pos),
                    "expected one path or glob pattern", "%s",
                    n < 2    ? "\"include\" names no file"
                    : n == 2 ? "empty path"
                             : "\"include\" takes one path");
        return;
    }
    name = a[1].text;
    pos = a[1].pos;
    const char *path = sp_path_full(p->arena, p->prefix, name).p;
    if (sp_str_has_glob(name)) {
        include_glob(p, path, pos);
    } else {
        parse_file(p, path, pos);
    }
}

static bool
is_include(const struct parser *p)
{
    return p->nargs > 0 && !p->args[0].quoted && sp_str_is(p->args[0].text, "include");
}

static void
end_statement(struct parser *p, struct sp_pos end)
{
    if (is_include(p)) {
        include(p);
    } else {
        (void)add_node(p, end, false);
    }
}

static void
open_block(struct parser *p, const struct sp_token *t)
{
    uint32_t             indent = p->nargs > 0 && p->first ? p->args[0].pos.col : 0;
    struct sp_conf_node *node;

    if (p->nargs == 0) {
        sp_diag_add(p->diag, SP_ERROR, t->pos, "expected the name of a block before it", "unexpected \"{\"");
    } else if (is_include(p)) {
        sp_diag_add(p->diag, SP_ERROR, t->pos, "expected \";\"", "\"include\" opens no block");
        p->bad = true;
    }
    node = add_node(p, t->pos, true);
    p->depth++;
    if (p->depth == BLOCK_DEPTH_MAX + 1) {
        sp_diag_add(p->diag, SP_ERROR, t->pos, NULL, "blocks within blocks deeper than %d", BLOCK_DEPTH_MAX);
    }
    if (p->depth > BLOCK_DEPTH_MAX) {
        mark_bad(p, node);
    }
    push(p, node, indent);
}

static void
close_block(struct parser *p, const struct sp_token *t)
{
    struct reading *r = p->reading;

    if (p->nopen == r->base) {
        sp_diag_add(p->diag, SP_ERROR, t->pos, "no block is open here", "unexpected \"}\"");
        return;
    }
    struct open *o = &p->open[--p->nopen];
    if (t->first && o->indent != 0 && t->pos.line != o->node->args[0].pos.line && o->indent != t->pos.col &&
        r->odd.file == NULL) {
        r->odd = t->pos;
        r->odd_opened = o->node->args[0].pos;
    }
    if (p->depth > BLOCK_DEPTH_MAX) {
        o->node->children = NULL; /* nobody recurses deeper than the limit */
    }
    p->depth--;
}

static void
missing_semicolon(struct parser *p, const char *where)
{
    if (!p->bad) {
        sp_diag_add(p->diag, SP_ERROR, behind(p->args[p->nargs - 1].pos), "expected \";\"", "missing \";\" %s", where);
        p->bad = true;
    }
}

/* At the end of a file: what is still open. The contents of such a block are not looked at any further, since they may well
 * belong elsewhere. */
static void
end_file(struct parser *p)
{
    struct reading *r = p->reading;

    if (p->nopen > r->base) {
        struct sp_conf_node *node = p->open[p->nopen - 1].node;
        char                 name[80] = "";
        if (node->nargs > 0) {
            (void)sp_str_escape(name, sizeof(name), node->args[0].text);
        }
        if (!p->full) {
            sp_diag_add(p->diag, SP_ERROR, node->end, "expected a \"}\" for this one before the end of the file",
                        "the block \"%s\" is never closed", name);
        }
        if (!p->full && r->odd.file != NULL) {
            sp_diag_add(p->diag, SP_NOTE, r->odd, NULL,
                        "this \"}\" closes what line %u opened: perhaps one is missing before it", r->odd_opened.line);
        }
    }
    while (p->nopen > r->base) {
        struct sp_conf_node *node = p->open[--p->nopen].node;
        mark_bad(p, node);
        node->children = NULL;
        p->depth--;
    }
}

static void
parse_text(struct parser *p, const struct sp_conf_file *file)
{
    struct sp_lexer l;
    struct sp_token t;

    sp_lexer_init(&l, file, p->arena, p->diag);
    p->nargs = 0;
    do {
        sp_lexer_next(&l, &t);
        if (t.hash.file != NULL && p->nargs > 0) {
            sp_diag_add(p->diag, SP_ERROR, t.hash, "a word that begins with # starts a comment; write \"#\"",
                        "the \";\" of this statement is in a comment");
            p->nargs = 0;
            p->lost = true;
        }
        switch (t.kind) {
        case SP_TOKEN_WORD:
            add_arg(p, &t);
            break;
        case SP_TOKEN_SEMICOLON:
            if (p->nargs == 0) {
                sp_diag_add(p->diag, SP_ERROR, t.pos, "expected a directive before it", "unexpected \";\"");
            } else {
                end_statement(p, t.pos);
            }
            break;
        case SP_TOKEN_OPEN:
            open_block(p, &t);
            break;
        case SP_TOKEN_CLOSE:
            if (p->nargs > 0) {
                missing_semicolon(p, "before \"}\"");
                p->bad = false; /* what it means is clear */
                end_statement(p, t.pos);
            }
            close_block(p, &t);
            break;
        case SP_TOKEN_END:
            if (p->nargs > 0) {
                missing_semicolon(p, "at the end of the file");
                p->nargs = 0;
                p->lost = true;
            }
            break;
        }
    } while (t.kind != SP_TOKEN_END && !p->full);
    p->nargs = 0;
    end_file(p);
}

static const struct sp_conf_file *
file_create(struct parser *p, struct sp_str path, struct sp_str text)
{
    struct sp_conf_file *f = sp_arena_alloc(p->arena, sizeof(*f));

    f->path = sp_arena_str(p->arena, path);
    f->text = sp_arena_str(p->arena, text);
    return f;
}

static bool
may_include(struct parser *p, const char *path, struct sp_pos from)
{
    unsigned depth = 0;
    bool     was_lost = p->lost;

    p->lost = true; /* unless it may */
    for (const struct reading *r = p->reading; r != NULL; r = r->outer) {
        if (strcmp(r->path, path) == 0) {
            sp_diag_add(p->diag, SP_ERROR, from, NULL, "this file includes itself%s",
                        r == p->reading ? "" : " through others");
            return false;
        }
        depth++;
    }
    if (depth > INCLUDE_DEPTH_MAX) {
        sp_diag_add(p->diag, SP_ERROR, from, NULL, "files that include files deeper than %d", INCLUDE_DEPTH_MAX);
        return false;
    }
    if (++p->files > FILES_MAX) {
        if (!p->full) {
            sp_diag_add(p->diag, SP_ERROR, from, NULL, "more than %u files are included", FILES_MAX);
        }
        p->full = true;
    }
    p->lost = p->full || was_lost;
    return !p->full;
}

static void
parse_file(struct parser *p, const char *path, struct sp_pos from)
{
    struct sp_str  text;
    struct reading r = {.path = path, .outer = p->reading, .base = p->nopen};
    int            err;

    if (!may_include(p, path, from)) {
        return;
    }
    err = p->source->read(p->source, path, &text);
    if (err == 0 && text.n == 0) {
        err = -ENODATA;
    }
    if (err < 0) {
        report_read(p, from, path, "", err);
        return;
    }
    r.file = file_create(p, sp_path_shown(p->prefix, sp_str_c(path)), text);
    p->reading = &r;
    parse_text(p, r.file);
    p->reading = r.outer;
}

int
sp_conf_parse(struct sp_arena *a, struct sp_source *src, const char *prefix, const char *path, const char *extra,
              struct sp_diag *diag, struct sp_conf_node **root)
{
    struct sp_conf_node *top = sp_arena_alloc(a, sizeof(*top));
    struct parser        p = {.arena = a, .source = src, .diag = diag, .prefix = prefix};
    unsigned             errors = sp_diag_errors(diag);

    top->is_block = true;
    push(&p, top, 0);
    if (extra != NULL && extra[0] != '\0') {
        struct reading r = {.path = "", .base = p.nopen};
        r.file = file_create(&p, SP_STR("<command line>"), sp_str_c(extra));
        p.reading = &r;
        parse_text(&p, r.file);
        p.reading = NULL;
    }
    parse_file(&p, sp_path_full(a, prefix, sp_str_c(path)).p, (struct sp_pos){0});
    free(p.open);
    free(p.args);
    top->bad = p.lost || p.full;
    *root = top;
    return sp_diag_errors(diag) > errors ? -EINVAL : 0;
}
