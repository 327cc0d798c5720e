/*
 * A snapshot: one immutable, numbered, fully built configuration in a process. Reference-counted by what still uses it
 * (the process, sessions, policies in queued work); wiped at zero. Single-threaded but for its construction.
 */
#ifndef SP_CONF_SNAPSHOT_H
#define SP_CONF_SNAPSHOT_H

#include "conf/build.h"

struct sp_listener_conf;
struct sp_trust;

struct sp_snapshot {
    uint32_t                   refs;
    uint64_t                   generation; /* 1, 2, …: the number that the master gave */
    uint8_t                    digest[32]; /* SHA-256 over all source bytes read, in order: READY answers carry it */
    struct sp_arena           *arena;
    const struct sp_registry  *registry;
    const struct sp_conf_node *root;      /* the tree, includes inlined; its children are the statements of main */
    struct sp_block           *main;      /* the root block */
    const struct sp_value    **defaults;  /* the built-in values by directive id; NULL: none */
    void                     **module;    /* by module index: what its build() made */
    struct sp_trust           *trusts;    /* net/trust.h, linked */
    struct sp_listener_conf   *listeners; /* net/listener.h, linked, in conf order */
    struct sp_fold_memo       *folds;     /* conf/policy.h */
    char                      *warnings;  /* text of warnings, for -t and the reload verdict; NULL if none */
};

struct sp_snapshot_options {
    const char *prefix, *path, *extra; /* -p, -c, -g */
    uint64_t    generation;
    bool        check_only;
};

/* Builds. 0 and *out with refs = 1, or -EINVAL with the text of the diagnostics in *errors (malloc'd, caller frees;
 * also set, with warnings only, on success when there are any). */
int sp_snapshot_build(const struct sp_registry *r, struct sp_source *src, const struct sp_snapshot_options *o,
                      struct sp_snapshot **out, char **errors);

static inline struct sp_snapshot *
sp_snapshot_ref(struct sp_snapshot *s)
{
    s->refs++;
    return s;
}
void sp_snapshot_unref(struct sp_snapshot *s);
/* Snapshots alive in this process (gauge snapshots_live). */
unsigned sp_snapshots_live(void);

/* -T: the effective configuration in the same language, each value with its provenance as a comment; parses back to
 * itself. Secrets are named by path, never printed. */
int sp_snapshot_dump(const struct sp_snapshot *s, int (*write)(void *arg, struct sp_str text), void *arg);
/* As above, without any comment: equal texts for configurations that say the same in the same order. */
int sp_snapshot_dump_bare(const struct sp_snapshot *s, int (*write)(void *arg, struct sp_str text), void *arg);

/* For a reload: every directive with apply RESTART whose value differs, reported with both file:lines. 0 or -EINVAL
 * with the text in *errors (malloc'd). */
int sp_snapshot_restart_check(const struct sp_snapshot *was, const struct sp_snapshot *now, char **errors);

#endif
