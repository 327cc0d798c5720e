/*
 * The core's own directives and what their values look like. Read them through sp_block_value(s, s->main, NAME):
 *
 *   worker_processes    u.num: how many, 1 .. SP_WORKERS_MAX; SP_WORKERS_AUTO for `auto`
 *   worker_connections  u.num
 *   daemon              u.num: 0 or 1
 *   pid, data_dir, control   u.str: path, relative ones made relative to the prefix
 *   error_log           u.ptr: struct sp_error_log_conf
 *   access_log          u.ptr: struct sp_access_log_conf
 *   log_format          u.ptr: struct sp_log_format, chained by ->next (sp_log_format_find)
 *   user                u.ptr: struct sp_user_conf; no value: stay who we are
 *   max_payload         policy, u.num: bytes
 *   rate                policy, conf/rate.h
 *   durability          policy, u.num: enum sp_durability
 */
#ifndef SP_CONF_CORE_DIRECTIVES_H
#define SP_CONF_CORE_DIRECTIVES_H

#include "base/log.h"
#include "conf/rate.h"

struct sp_build;
struct sp_snapshot;

#define SP_WORKERS_MAX  64
#define SP_WORKERS_AUTO 0

enum sp_durability { SP_DURABILITY_COMMIT, SP_DURABILITY_MEMORY };

struct sp_error_log_conf {
    struct sp_str     path; /* "stderr" or a file's path */
    enum sp_log_level level;
};

struct sp_log_format {
    struct sp_str name, text; /* text: as written, $variables not yet looked at */
};

struct sp_access_log_conf {
    bool                        off, json;
    struct sp_str               path;
    struct sp_str               format_name; /* empty: the built-in one, or JSON */
    const struct sp_log_format *format;      /* set by the build when a format is named; else NULL */
};

struct sp_user_conf {
    struct sp_str user, group; /* group empty: the user's own */
};

extern const struct sp_directive sp_core_directives[];
extern const size_t              sp_core_ndirectives;

/* What the core checks over the whole configuration: names of log formats, topic filters. 0 or -EINVAL. */
int sp_core_build(struct sp_build *b);

/* NULL if there is none of that name. */
const struct sp_log_format *sp_log_format_find(const struct sp_snapshot *s, struct sp_str name);

#endif
