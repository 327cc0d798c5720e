#include "conf/source.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_MS   50   /* untouched for so long: whole */
#define DEADLINE_MS 1000 /* then give up */
#define PAUSE_MS    10

struct files {
    struct sp_source source;
    struct sp_arena *arena;
};

static int64_t
clock_ms(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&t, &t) < 0 && errno == EINTR) {
    }
}

static bool
same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Reads what is there; one byte more than `bytes` is tried so that growth is seen. The length or negative errno. */
static ssize_t
read_all(int fd, char *dst, size_t bytes)
{
    size_t have = 0;

    while (have <= bytes) {
        ssize_t n = read(fd, dst + have, bytes + 1 - have);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        have += (size_t)n;
    }
    return (ssize_t)have;
}

/* One attempt. On 0 *bytes is malloc'd and *st tells of the file; -EAGAIN when it changed under our eyes. */
static int
read_once(const char *path, char **bytes, struct stat *st)
{
    struct stat after, named;
    ssize_t     n;
    char       *p;
    int         err = 0;
    /* O_NONBLOCK: a FIFO must not hold up the master */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, st) < 0) {
        err = -errno;
        goto fail_close;
    }
    if (!S_ISREG(st->st_mode)) {
        err = S_ISDIR(st->st_mode) ? -EISDIR : -ENOTSUP;
        goto fail_close;
    }
    if (st->st_size > (off_t)SP_SOURCE_FILE_MAX) {
        err = -EFBIG;
        goto fail_close;
    }
    p = malloc((size_t)st->st_size + 1);
    if (p == NULL) {
        err = -ENOMEM;
        goto fail_close;
    }
    n = read_all(fd, p, (size_t)st->st_size);
    if (n < 0) {
        err = (int)n;
    } else if (n != st->st_size || fstat(fd, &after) < 0 || !same(st, &after) || stat(path, &named) < 0 ||
               !same(st, &named)) {
        err = -EAGAIN;
    }
    if (err == 0) {
        *bytes = p;
    } else {
        OPENSSL_cleanse(p, (size_t)st->st_size + 1);
        free(p);
    }
fail_close:
    (void)close(fd);
    return err;
}

/* A file is settled when nobody has touched it for a moment. A time stamp in the future says nothing: then it is settled when it
 * reads the same after a moment. */
static int
read_settled(const char *path, char **bytes, size_t *n)
{
    int64_t     start = clock_ms(CLOCK_MONOTONIC), first_ms = 0;
    struct stat st = {0}, first = {0};
    bool        have_first = false;

    for (;;) {
        int     err = read_once(path, bytes, &st);
        int64_t now = clock_ms(CLOCK_MONOTONIC);
        if (err == 0) {
            int64_t age = clock_ms(CLOCK_REALTIME) - ((int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
            bool    unchanged = have_first && same(&first, &st) && now - first_ms >= SETTLE_MS;
            if (age >= SETTLE_MS || unchanged) {
                *n = (size_t)st.st_size;
                return 0;
            }
            if (!have_first || !same(&first, &st)) {
                first = st;
                first_ms = now;
                have_first = true;
            }
            OPENSSL_cleanse(*bytes, (size_t)st.st_size + 1);
            free(*bytes);
        } else if (err != -EAGAIN) {
            return err;
        }
        if (now - start >= DEADLINE_MS) {
            return -EAGAIN;
        }
        pause_ms(PAUSE_MS);
    }
}

static int
files_read(struct sp_source *s, const char *path, struct sp_str *out)
{
    struct files *f = (struct files *)s;
    char         *bytes;
    size_t        n;
    int           err = read_settled(path, &bytes, &n);

    if (err < 0) {
        return err;
    }
    *out = sp_arena_str(f->arena, (struct sp_str){bytes, n});
    OPENSSL_cleanse(bytes, n + 1);
    free(bytes);
    return 0;
}

/* A directory that is not there holds nothing that matches; one that cannot be read is an error: what it holds must not
 * silently count as nothing. */
static int
glob_error(const char *path, int err)
{
    (void)path;
    return err != ENOENT && err != ENOTDIR;
}

static int
by_bytes(const void *a, const void *b)
{
    return sp_str_cmp(*(const struct sp_str *)a, *(const struct sp_str *)b);
}

static int
files_glob(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count)
{
    struct files *f = (struct files *)s;
    glob_t        g = {0};
    int           err;

    errno = 0;
    err = glob(pattern, GLOB_NOSORT, glob_error, &g);
    if (err == GLOB_NOSPACE) {
        err = -ENOMEM;
    } else if (err == GLOB_ABORTED) {
        err = errno == 0 ? -EIO : -errno;
    } else {
        *count = err == GLOB_NOMATCH ? 0 : g.gl_pathc;
        *paths = sp_arena_array(f->arena, *count, sizeof(**paths));
        for (size_t i = 0; i < *count; i++) {
            (*paths)[i] = sp_arena_str(f->arena, sp_str_c(g.gl_pathv[i]));
        }
        if (*count > 1) {
            qsort(*paths, *count, sizeof(**paths), by_bytes);
        }
        err = 0;
    }
    globfree(&g);
    return err;
}

static void
files_close(struct sp_source *s)
{
    struct files *f = (struct files *)s;

    sp_arena_destroy(f->arena);
    free(f);
}

int
sp_source_files(struct sp_source **out)
{
    struct files *f = calloc(1, sizeof(*f));
    int           err;

    if (f == NULL) {
        return -ENOMEM;
    }
    err = sp_arena_create(&f->arena);
    if (err < 0) {
        free(f);
        return err;
    }
    f->source = (struct sp_source){files_read, files_glob, files_close};
    *out = &f->source;
    return 0;
}
