#include "conf/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "conf/bundle_format.h"

struct answer {
    struct answer *next;
    struct sp_str  key; /* kind, then the question */
    uint32_t       kind;
    int            error;
    struct sp_str  question, bytes;
    struct sp_str *paths;
    size_t         count;
};

struct sp_bundle {
    struct sp_arena  *arena;
    struct sp_source *files;
    struct answer    *answers, **tail;
    uint64_t          count;
    struct sp_map     map;
};

int
sp_bundle_create(struct sp_bundle **out)
{
    struct sp_bundle *b = calloc(1, sizeof(*b));
    int               err = -ENOMEM;

    if (b == NULL) {
        return err;
    }
    b->tail = &b->answers;
    err = sp_arena_create(&b->arena);
    if (err < 0) {
        goto fail_arena;
    }
    err = sp_source_files(&b->files);
    if (err < 0) {
        goto fail_files;
    }
    *out = b;
    return 0;
fail_files:
    sp_arena_destroy(b->arena);
fail_arena:
    free(b);
    return err;
}

void
sp_bundle_destroy(struct sp_bundle *b)
{
    if (b == NULL) {
        return;
    }
    sp_map_clear(&b->map);
    sp_source_close(b->files);
    sp_arena_destroy(b->arena);
    free(b);
}

struct sp_str
sp_bundle_paths_pack(struct sp_arena *a, const struct sp_str *paths, size_t count)
{
    uint64_t n = count;
    size_t   bytes = sizeof(n);
    char    *p, *at;

    for (size_t i = 0; i < count; i++) {
        bytes += sizeof(n) + paths[i].n;
    }
    at = p = sp_arena_alloc(a, bytes);
    memcpy(at, &n, sizeof(n));
    at += sizeof(n);
    for (size_t i = 0; i < count; i++) {
        n = paths[i].n;
        memcpy(at, &n, sizeof(n));
        memcpy(at + sizeof(n), paths[i].p, paths[i].n);
        at += sizeof(n) + paths[i].n;
    }
    return (struct sp_str){p, bytes};
}

/* The answer given before to the same question, or a new, empty one (*fresh). */
static struct answer *
answer_of(struct sp_bundle *b, uint32_t kind, const char *question, bool *fresh)
{
    struct sp_str  q = sp_str_c(question), key;
    struct answer *a;
    char          *p = sp_arena_alloc(b->arena, q.n + 2);

    p[0] = (char)kind;
    memcpy(p + 1, q.p, q.n);
    key = (struct sp_str){p, q.n + 1};
    a = sp_map_get(&b->map, key);
    *fresh = a == NULL;
    if (a != NULL) {
        return a;
    }
    a = sp_arena_alloc(b->arena, sizeof(*a));
    a->key = key;
    a->kind = kind;
    a->question = (struct sp_str){p + 1, q.n};
    if (sp_map_put(&b->map, key, a, NULL) < 0) {
        return NULL;
    }
    *b->tail = a;
    b->tail = &a->next;
    b->count++;
    return a;
}

int
sp_bundle_read(struct sp_bundle *b, const char *path, struct sp_str *out)
{
    bool           fresh;
    struct answer *a = answer_of(b, SP_BUNDLE_READ, path, &fresh);

    if (a == NULL) {
        return -ENOMEM;
    }
    if (fresh) {
        a->error = b->files->read(b->files, path, &a->bytes);
        if (a->error < 0) {
            a->bytes = (struct sp_str){NULL, 0};
        }
    }
    *out = a->bytes;
    return a->error;
}

int
sp_bundle_glob(struct sp_bundle *b, const char *pattern, struct sp_str **paths, size_t *count)
{
    bool           fresh;
    struct answer *a = answer_of(b, SP_BUNDLE_GLOB, pattern, &fresh);

    if (a == NULL) {
        return -ENOMEM;
    }
    if (fresh) {
        a->error = b->files->glob(b->files, pattern, &a->paths, &a->count);
        if (a->error < 0) {
            a->count = 0;
        } else {
            a->bytes = sp_bundle_paths_pack(b->arena, a->paths, a->count);
        }
    }
    *paths = a->paths;
    *count = a->count;
    return a->error;
}

static int
write_all(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t k = write(fd, at, n);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k < 0) {
            return -errno;
        }
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

static int
write_answers(const struct sp_bundle *b, int fd)
{
    int err = write_all(fd, SP_BUNDLE_MAGIC, sizeof(SP_BUNDLE_MAGIC) - 1);

    if (err == 0) {
        err = write_all(fd, &b->count, sizeof(b->count));
    }
    for (const struct answer *a = b->answers; a != NULL && err == 0; a = a->next) {
        struct sp_bundle_record r = {a->kind, a->error, a->question.n, a->bytes.n};
        err = write_all(fd, &r, sizeof(r));
        if (err == 0) {
            err = write_all(fd, a->question.p, a->question.n);
        }
        if (err == 0 && a->bytes.n > 0) {
            err = write_all(fd, a->bytes.p, a->bytes.n);
        }
    }
    return err;
}

int
sp_bundle_seal(struct sp_bundle *b, int *fd)
{
    int memfd = memfd_create("sallyport-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int err;

    if (memfd < 0) {
        return -errno;
    }
    err = write_answers(b, memfd);
    if (err == 0 && fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
        err = -errno;
    }
    if (err < 0) {
        (void)close(memfd);
        return err;
    }
    *fd = memfd;
    return 0;
}
