/*
 * The error log. One line: `2026/11/20 19:10:14 [warn] 1234 worker0: text`. Levels as nginx has them. To stderr, a file
 * or syslog-like /dev/log is not offered. A line is one write(2) with O_APPEND, at most 2,048 bytes, so lines of several
 * processes do not mix. Text is built by the caller from trusted parts and escaped peer data (sp_str_escape).
 */
#ifndef SP_BASE_LOG_H
#define SP_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum sp_log_level {
    SP_LOG_EMERG,
    SP_LOG_ALERT,
    SP_LOG_CRIT,
    SP_LOG_ERROR,
    SP_LOG_WARN,
    SP_LOG_NOTICE,
    SP_LOG_INFO,
    SP_LOG_DEBUG,
};

/* The process's log: stderr at NOTICE until sp_log_open. The one global of this kind: a log line must be possible
 * from anywhere, out-of-memory paths included. Helper threads must not log. */
/* path "stderr" or a file's path (opened O_APPEND|O_CREAT 0640). 0 or negative errno, then nothing has changed. */
int sp_log_open(const char *path, enum sp_log_level level);
/* As above with a descriptor that somebody else opened (privileges dropped); takes it over. */
void sp_log_use_fd(int fd, enum sp_log_level level);
void sp_log_level_set(enum sp_log_level level);
int  sp_log_fd(void);
/* Names the process in each line: "master", "worker0", "keeper". Copied, at most 15 bytes. */
void sp_log_ident(const char *name);
bool sp_log_enabled(enum sp_log_level level);
/* "info" -> SP_LOG_INFO, or -EINVAL. */
int         sp_log_level_parse(struct sp_str name, enum sp_log_level *out);
const char *sp_log_level_name(enum sp_log_level level);

void sp_log(enum sp_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A line that may come often: at most `burst` per 10 s for this `limit` (static, zeroed, one per call site); the first
 * one let through after a gap tells how many were suppressed. Needs sp_clock_update. */
struct sp_log_limit {
    uint64_t window_ms;
    uint32_t count, suppressed;
};
void sp_log_limited(struct sp_log_limit *limit, unsigned burst, enum sp_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
