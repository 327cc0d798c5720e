/* The parsed but not yet understood configuration: a tree of directives with the place of every argument. */
#ifndef SP_CONF_TREE_H
#define SP_CONF_TREE_H

#include "conf/diag.h"
#include "conf/source.h"

struct sp_directive;

struct sp_conf_arg {
    struct sp_str text; /* quotes and escapes resolved */
    struct sp_pos pos;
    bool          quoted;
};

struct sp_conf_node {
    struct sp_conf_arg *args; /* args[0] is the directive's name, without the operator */
    unsigned            nargs;
    char                op;    /* 0 plain; '+' name += …; '=' name = …; 'r' name reset */
    bool                floor; /* trailing word `floor` (only where the directive is a policy value) */
    bool                is_block;
    bool bad; /* an error was reported at it or below it: later passes say nothing more about it. The root: something
                                * was dropped that may have meant anything, so what refers to it cannot be judged */
    struct sp_pos              end; /* the `;`, `{` or whatever ended its arguments */
    struct sp_conf_node       *parent, *children, *next;
    const struct sp_directive *directive; /* set by the schema pass; NULL if unknown */
};

/* Reads `path` and what it includes (globs; relative to the prefix; a literal include that is missing is an error, an
 * empty glob is not; depth at most 16, cycles refused) into a tree. `extra` (may be NULL) is the text of -g, parsed first as
 * "<command line>". Errors go to diag; the tree is what could be understood. Returns 0 or -EINVAL (diag has errors).
 * Any byte sequence is fit input. */
int sp_conf_parse(struct sp_arena *a, struct sp_source *src, const char *prefix, const char *path, const char *extra,
                  struct sp_diag *diag, struct sp_conf_node **root);

#endif
