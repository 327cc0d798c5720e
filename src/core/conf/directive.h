/*
 * Directives: one typed table per module. The core parses, type-checks, folds and dumps; modules write no merge code.
 */
#ifndef SP_CONF_DIRECTIVE_H
#define SP_CONF_DIRECTIVE_H

#include "conf/tree.h"

struct sp_build;
struct sp_value;

enum sp_merge {
    SP_REPLACE,   /* the inner value wins */
    SP_STRICTEST, /* a limit: the smaller wins; a looser inner value is a warning that names both lines */
    SP_EXTEND,    /* a list: inner adds (`+=` or several lines), `=` replaces, `reset` empties */
    SP_LOCAL,     /* holds only in its own block */
};

enum sp_apply { SP_LIVE, SP_NEW_SESSIONS, SP_RESTART };

/* The policy levels, from the outside in; other contexts are not levels. */
enum sp_level { SP_LEVEL_DEFAULT, SP_LEVEL_GLOBAL, SP_LEVEL_REALM, SP_LEVEL_TOPIC, SP_LEVEL_APPLICATION, SP_LEVELS };
const char *sp_level_name(enum sp_level level); /* "default" "global" "realm" "topic" "application" */

/* How arguments become a value. */
struct sp_type {
    const char *name;    /* "size" */
    const char *expects; /* "a size such as 512, 64k or 1m" */
    /* Fills v->u from node->args[1..]. On bad input reports through sp_build_error (what was expected, where) and returns
     * -EINVAL. NULL: a block. */
    int (*parse)(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v);
    /* < 0 when a is stricter than b, 0 equal, > 0 looser. NULL: no order, then STRICTEST and floor may not be used
     * with it (a floor on an unordered type means: inner levels may not change it). */
    int (*compare)(const struct sp_value *a, const struct sp_value *b);
    const void *arg; /* for parse: choices of an enum, limits ... */
};

struct sp_directive {
    const char           *name;
    const struct sp_type *type;
    const char   *contexts; /* blocks that may hold it, space-separated: "main", "policy realm topic application" */
    uint8_t       min_args, max_args; /* without the name; max 255 = any number */
    bool          repeat;             /* may appear more than once in one block (EXTEND lists, listen, realm …) */
    enum sp_merge merge;
    enum sp_apply apply;
    const char   *fallback; /* default, in the language's own syntax ("64k"); NULL: none */
    const char   *syntax;   /* arguments as the manual shows them: "SIZE | off" */
    const char   *help;     /* one or two sentences */
};

/* Contexts that are policy levels. */
#define SP_POLICY_LEVELS "policy realm topic application"

/* One value in force somewhere, and where it came from. */
struct sp_value {
    const struct sp_directive *directive;
    const struct sp_conf_node *node; /* NULL: the built-in default */
    enum sp_level              level;
    bool                       floor;
    union {
        int64_t       num; /* sizes in bytes, times in ms, booleans 0/1, enums, rates in units of the type */
        struct sp_str str;
        const void   *ptr; /* what a module's type built, in the snapshot's arena */
    } u;
    const struct sp_value *outer; /* what it overrode (fold), or NULL */
    const struct sp_value *next;  /* EXTEND: the next element of the list, outermost first */
};

/* Shared types. off is SP_OFF where a type allows it. */
#define SP_OFF INT64_C(-1)
extern const struct sp_type sp_type_block; /* name [arg …] { … } */
extern const struct sp_type sp_type_flag;  /* on | off -> 1 | 0 */
extern const struct sp_type sp_type_size;  /* bytes: 512 64k 1m 2g */
extern const struct sp_type sp_type_size_off;
extern const struct sp_type sp_type_time; /* ms: 200ms 5s 1m 1h 30d (bare number: seconds) */
extern const struct sp_type sp_type_time_off;
extern const struct sp_type sp_type_number; /* 0 .. 2^31-1, smaller is stricter */
extern const struct sp_type sp_type_number_off;
extern const struct sp_type sp_type_string;
extern const struct sp_type sp_type_path; /* non-empty, no NUL; made relative to the prefix; u.str */

/* An enum type: `static const struct sp_type t = {"…", "off, warn or on", sp_parse_choice, sp_compare_choice, choices};`
 * choices is a NULL-terminated const char *const[]; u.num is the index; with sp_compare_choice a lower index is stricter. */
int sp_parse_choice(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v);
int sp_compare_choice(const struct sp_value *a, const struct sp_value *b);

/* Parsers for use inside a module's own types; `out` untouched on -EINVAL, nothing reported. */
int sp_parse_size_text(struct sp_str s, int64_t *bytes);
int sp_parse_time_text(struct sp_str s, int64_t *ms);

#endif
