/*
 * Filters with references, and what filters have in common. A template is a topic filter in which a rule may refer to who asks
 * and to what the filter around the rule matched:
 *
 *   rules of the configuration   %i  the identity    %1 .. %9  what the wildcards of the enclosing filter matched    %%  a percent sign
 *   `pattern` lines of an aclfile %u the user name   %c        the client id         (no way to write a percent sign before u or c)
 */
#ifndef SP_POLICY_RESOLVER_MATCH_H
#define SP_POLICY_RESOLVER_MATCH_H

#include "base/arena.h"
#include "base/str.h"

#define SP_CAPTURES_MAX      9
#define SP_FILTER_LEVELS_MAX 1000

enum sp_dialect { SP_DIALECT_RULE, SP_DIALECT_ACLFILE };

struct sp_piece {
    struct sp_str text; /* literal bytes; empty for a reference */
    char          what; /* 0: literal; 'i', 'c', '1' .. '9' */
};

struct sp_template {
    struct sp_str          text;  /* as written */
    struct sp_str          plain; /* the filter, when it refers to nothing; else p is NULL */
    const struct sp_piece *pieces;
    unsigned               npieces;
    uint8_t                max_capture; /* the highest %N, 0: none */
    bool                   identity, client;
};

/* Slices borrow from text or the arena. -EINVAL: not a filter (*at: offset of what is wrong, *why: static). */
int sp_template_parse(struct sp_arena *a, enum sp_dialect dialect, struct sp_str text, struct sp_template *out,
                      size_t *at, const char **why);

/* Memory that grows and is used again and again. */
struct sp_scratch {
    char  *p;
    size_t cap;
};
bool sp_scratch_reserve(struct sp_scratch *s, size_t bytes);
void sp_scratch_free(struct sp_scratch *s);

struct sp_references {
    struct sp_str        identity, client;
    const struct sp_str *captures;
    int                  ncaptures;
    const struct sp_str *around; /* with captures unknown (a subscription's filter is judged): the enclosing filter */
    bool                 strict; /* refuse an identity that spans levels */
};

/* The filter that the template means for these references; valid until the scratch is used again. False: it means none:
 * an identity that holds a wildcard (or, strict, a slash or NUL), a `$` topic that only a reference made, a wildcard that the
 * enclosing filter does not have. With ->around each %N stands for all that it could be. */
bool sp_template_filter(const struct sp_template *t, const struct sp_references *r, struct sp_scratch *scratch,
                        struct sp_str *filter);
/* The narrowest plain filter that covers whatever the template may mean. */
bool sp_template_widest(const struct sp_template *t, struct sp_scratch *scratch, struct sp_str *filter);

/* What both filters match, which always is one filter; false when nothing. */
bool sp_filter_intersect(struct sp_str a, struct sp_str b, struct sp_scratch *scratch, struct sp_str *both);
/* The filter with its n-th wildcard (from 1) replaced by `text`; false when it has none, or text holds a wildcard. */
bool sp_filter_fix(struct sp_str filter, int n, struct sp_str text, struct sp_scratch *scratch, struct sp_str *fixed);
/* How many wildcards a filter has. */
int sp_filter_wildcards(struct sp_str filter);

#endif
