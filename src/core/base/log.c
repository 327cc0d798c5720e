#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_BYTES 2048
#define WINDOW_MS      10000u

static const char *const level_names[] = {
    [SP_LOG_EMERG] = "emerg", [SP_LOG_ALERT] = "alert",   [SP_LOG_CRIT] = "crit", [SP_LOG_ERROR] = "error",
    [SP_LOG_WARN] = "warn",   [SP_LOG_NOTICE] = "notice", [SP_LOG_INFO] = "info", [SP_LOG_DEBUG] = "debug",
};

static struct {
    int               fd;
    enum sp_log_level level;
    char              ident[16];
} the_log = {STDERR_FILENO, SP_LOG_NOTICE, ""};

void
sp_log_use_fd(int fd, enum sp_log_level level)
{
    if (the_log.fd != STDERR_FILENO && the_log.fd != fd) {
        (void)close(the_log.fd);
    }
    the_log.fd = fd;
    the_log.level = level;
}

int
sp_log_open(const char *path, enum sp_log_level level)
{
    int fd = STDERR_FILENO;

    tzset(); /* reads the zone's file now, before a sandbox and not in the first line */
    if (strcmp(path, "stderr") != 0) {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
        if (fd < 0) {
            return -errno;
        }
    }
    sp_log_use_fd(fd, level);
    return 0;
}

void
sp_log_level_set(enum sp_log_level level)
{
    the_log.level = level;
}

int
sp_log_fd(void)
{
    return the_log.fd;
}

void
sp_log_ident(const char *name)
{
    size_t n = strnlen(name, sizeof(the_log.ident) - 1);

    memcpy(the_log.ident, name, n);
    the_log.ident[n] = '\0';
}

bool
sp_log_enabled(enum sp_log_level level)
{
    return level <= the_log.level;
}

int
sp_log_level_parse(struct sp_str name, enum sp_log_level *out)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (sp_str_is(name, level_names[i])) {
            *out = (enum sp_log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *
sp_log_level_name(enum sp_log_level level)
{
    return level_names[level];
}

static void
write_line(const char *line, size_t n)
{
    ssize_t done;

    do {
        done = write(the_log.fd, line, n);
    } while (done < 0 && errno == EINTR);
    /* Nowhere to report a failure to; a short write would only lose the rest of this line. */
}

/* The stamp and the names; returns the length. */
static size_t
print_head(char *line, enum sp_log_level level)
{
    struct timespec now;
    struct tm       tm;
    size_t          n;
    int             more;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)localtime_r(&now.tv_sec, &tm);
    n = strftime(line, LINE_MAX_BYTES, "%Y/%m/%d %H:%M:%S", &tm);
    more = snprintf(line + n, LINE_MAX_BYTES - n, " [%s] %ld%s%s: ", level_names[level], (long)getpid(),
                    the_log.ident[0] != '\0' ? " " : "", the_log.ident);
    return n + (more > 0 ? (size_t)more : 0);
}

__attribute__((format(printf, 3, 0))) static void
log_line(enum sp_log_level level, unsigned suppressed, const char *fmt, va_list ap)
{
    char   line[LINE_MAX_BYTES], tail[64] = "";
    size_t n = print_head(line, level), start = n, room;
    int    more, tail_n = 0;

    if (suppressed > 0) {
        tail_n = snprintf(tail, sizeof(tail), " (%u more like this suppressed)", suppressed);
    }
    room = LINE_MAX_BYTES - n - (size_t)tail_n - 1; /* behind: the tail and the newline */
    more = vsnprintf(line + n, room, fmt, ap);
    if (more >= 0 && (size_t)more < room) {
        n += (size_t)more;
    } else if (more >= 0) {
        n += room - 1;
        memcpy(line + n - 3, "...", 3);
    }
    memcpy(line + n, tail, (size_t)tail_n);
    n += (size_t)tail_n;
    /* A library's message may have a newline: what follows must not look like a line of ours. */
    for (size_t i = start; i < n; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = ' ';
        }
    }
    line[n] = '\n';
    write_line(line, n + 1);
}

void
sp_log(enum sp_log_level level, const char *fmt, ...)
{
    int     saved = errno;
    va_list ap;

    if (!sp_log_enabled(level)) {
        return;
    }
    va_start(ap, fmt);
    log_line(level, 0, fmt, ap);
    va_end(ap);
    errno = saved;
}

void
sp_log_limited(struct sp_log_limit *limit, unsigned burst, enum sp_log_level level, const char *fmt, ...)
{
    int      saved = errno;
    uint64_t now_ms = sp_clock_ms();
    uint32_t suppressed;
    va_list  ap;

    if (!sp_log_enabled(level)) {
        return;
    }
    if (now_ms - limit->window_ms >= WINDOW_MS) {
        limit->window_ms = now_ms;
        limit->count = 0;
    }
    if (limit->count >= burst) {
        limit->suppressed += limit->suppressed < UINT32_MAX;
        return;
    }
    limit->count++;
    suppressed = limit->suppressed;
    limit->suppressed = 0;
    va_start(ap, fmt);
    log_line(level, suppressed, fmt, ap);
    va_end(ap);
    errno = saved;
}
