/*
 * Building a snapshot from a source: parse, check against the directive tables, type every value, let each module build
 * its part, fold lazily. Pure: no global state, no logging, no descriptors but what modules create inside the arena
 * (SSL_CTX); may run in a helper thread.
 */
#ifndef SP_CONF_BUILD_H
#define SP_CONF_BUILD_H

#include "conf/directive.h"

struct sp_module;
struct sp_registry;
struct sp_snapshot;

/* One block of the configuration with its typed values: main, a trust, mqtt, policy, a realm, a topic … */
struct sp_block {
    const struct sp_conf_node *node;                     /* NULL for main; args[1] is its name or filter */
    const char                *context;                  /* "main", "realm", … */
    struct sp_block           *parent, *children, *next; /* in the order of the file */
    /* Values set in this block, by directive id; NULL where not set. EXTEND lists chain by ->next. */
    const struct sp_value **values;
    /* EXTEND lists that this block cuts off from the outer levels (`=`, `reset`): the statement, by directive id. NULL when
     * there is none in this block. */
    const struct sp_conf_node **cuts;
};

struct sp_build {
    struct sp_snapshot       *snapshot; /* under construction; arena in snapshot->arena */
    struct sp_arena          *arena;
    struct sp_source         *source;
    struct sp_diag           *diag;
    const struct sp_registry *registry;
    const char               *prefix;     /* directory, "" or ends in '/' */
    bool                      check_only; /* -t, probe: build all, but nothing outlives it */
    bool                      muted; /* the last error was suppressed (its node had one before); notes to it are too */
};

/* pos of a node's argument i (0 = the name), for sp_build_error. */
struct sp_pos sp_node_pos(const struct sp_conf_node *node, unsigned i);

/* An error or warning at argument i of the node (NULL: the configuration as a whole); hint may be NULL. sp_build_error
 * returns -EINVAL. After the schema pass, what stands at a node that already has an error in it is not reported again. */
int  sp_build_error(struct sp_build *b, const struct sp_conf_node *node, unsigned i, const char *hint, const char *fmt,
                    ...) __attribute__((format(printf, 5, 6)));
void sp_build_warn(struct sp_build *b, const struct sp_conf_node *node, unsigned i, const char *hint, const char *fmt,
                   ...) __attribute__((format(printf, 5, 6)));
/* "… also here" below the last error or warning. */
void sp_build_note(struct sp_build *b, const struct sp_conf_node *node, unsigned i, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Reads a file named by argument i of node, relative to the prefix; reports a clear error (unreadable, empty,
 * half-written) and returns negative on failure. An empty file is an error: it is never "no rule". */
int sp_build_file(struct sp_build *b, const struct sp_conf_node *node, unsigned i, struct sp_str *bytes);

/* The first block of a context below `parent`, and the next one of the same context. */
const struct sp_block *sp_block_first(const struct sp_block *parent, const char *context);
const struct sp_block *sp_block_next(const struct sp_block *block);

/* The value of a directive in this block, else its default (never NULL for a directive with a fallback or an EXTEND
 * list… which may be NULL when empty). */
const struct sp_value *sp_block_value(const struct sp_snapshot *s, const struct sp_block *b, const char *directive);
int64_t                sp_block_num(const struct sp_snapshot *s, const struct sp_block *b, const char *directive);
struct sp_str          sp_block_str(const struct sp_snapshot *s, const struct sp_block *b, const char *directive);

#endif
