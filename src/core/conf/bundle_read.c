#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "conf/bundle.h"
#include "conf/bundle_format.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct record {
    int           error;
    struct sp_str answer;
};

struct reader {
    struct sp_source source;
    struct sp_arena *arena;
    struct sp_map    map; /* key: kind, then the question */
    const char      *p;
    size_t           n;
};

int
sp_bundle_paths_unpack(struct sp_arena *a, struct sp_str bytes, struct sp_str **paths, size_t *count)
{
    uint64_t n, length;
    size_t   at = sizeof(n);

    if (bytes.n < sizeof(n)) {
        return -EBADMSG;
    }
    memcpy(&n, bytes.p, sizeof(n));
    if (n > (bytes.n - at) / sizeof(length)) {
        return -EBADMSG;
    }
    *paths = sp_arena_array(a, n, sizeof(**paths));
    for (uint64_t i = 0; i < n; i++) {
        if (bytes.n - at < sizeof(length)) {
            return -EBADMSG;
        }
        memcpy(&length, bytes.p + at, sizeof(length));
        at += sizeof(length);
        if (length > bytes.n - at || length > SP_BUNDLE_PATH_MAX || memchr(bytes.p + at, '\0', length) != NULL) {
            return -EBADMSG;
        }
        (*paths)[i] = sp_arena_str(a, (struct sp_str){bytes.p + at, length});
        at += length;
    }
    *count = n;
    return at == bytes.n ? 0 : -EBADMSG;
}

static const struct record *
lookup(struct reader *r, char kind, const char *question)
{
    char   key[SP_BUNDLE_PATH_MAX + 1];
    size_t n = strlen(question);

    if (n > SP_BUNDLE_PATH_MAX) {
        return NULL;
    }
    key[0] = kind;
    memcpy(key + 1, question, n);
    return sp_map_get(&r->map, (struct sp_str){key, n + 1});
}

static int
reader_read(struct sp_source *s, const char *path, struct sp_str *out)
{
    const struct record *rec = lookup((struct reader *)s, SP_BUNDLE_READ, path);

    if (rec == NULL) {
        return -ENOENT;
    }
    if (rec->error == 0) {
        *out = rec->answer;
    }
    return rec->error;
}

static int
reader_glob(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count)
{
    struct reader       *r = (struct reader *)s;
    const struct record *rec = lookup(r, SP_BUNDLE_GLOB, pattern);

    if (rec == NULL) {
        return -ENOENT;
    }
    return rec->error < 0 ? rec->error : sp_bundle_paths_unpack(r->arena, rec->answer, paths, count);
}

static void
reader_close(struct sp_source *s)
{
    struct reader *r = (struct reader *)s;

    if (r->p != NULL) {
        (void)munmap((void *)(uintptr_t)r->p, r->n);
    }
    sp_map_clear(&r->map);
    sp_arena_destroy(r->arena);
    free(r);
}

/* One record at *at. */
static int
index_record(struct reader *r, size_t *at)
{
    struct sp_bundle_record h;
    struct record          *rec;
    char                   *key;

    if (r->n - *at < sizeof(h)) {
        return -EBADMSG;
    }
    memcpy(&h, r->p + *at, sizeof(h));
    *at += sizeof(h);
    if ((h.kind != SP_BUNDLE_READ && h.kind != SP_BUNDLE_GLOB) || h.error > 0 ||
        h.question_bytes > SP_BUNDLE_PATH_MAX || h.question_bytes > r->n - *at ||
        h.answer_bytes > r->n - *at - h.question_bytes) {
        return -EBADMSG;
    }
    key = sp_arena_alloc(r->arena, h.question_bytes + 1);
    key[0] = (char)h.kind;
    memcpy(key + 1, r->p + *at, h.question_bytes);
    *at += h.question_bytes;
    rec = sp_arena_alloc(r->arena, sizeof(*rec));
    rec->error = h.error;
    rec->answer = (struct sp_str){r->p + *at, h.answer_bytes};
    *at += h.answer_bytes;
    return sp_map_put(&r->map, (struct sp_str){key, h.question_bytes + 1}, rec, NULL);
}

static int
index_all(struct reader *r)
{
    const size_t magic = sizeof(SP_BUNDLE_MAGIC) - 1;
    uint64_t     count;
    size_t       at = magic + sizeof(count);
    int          err = 0;

    if (r->n < at || memcmp(r->p, SP_BUNDLE_MAGIC, magic) != 0) {
        return -EBADMSG;
    }
    memcpy(&count, r->p + magic, sizeof(count));
    for (uint64_t i = 0; i < count && err == 0; i++) {
        err = index_record(r, &at);
    }
    return err < 0 ? err : at == r->n ? 0 : -EBADMSG;
}

static int
map(struct reader *r, int memfd)
{
    struct stat st;
    int         seals = fcntl(memfd, F_GET_SEALS);
    void       *p;

    /* without the seals another process could change or cut what is mapped here */
    if (seals < 0 || (seals & SEALS) != SEALS) {
        return -EPERM;
    }
    if (fstat(memfd, &st) < 0) {
        return -errno;
    }
    if (st.st_size <= 0) {
        return -EBADMSG;
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, memfd, 0);
    if (p == MAP_FAILED) {
        return -errno;
    }
    (void)madvise(p, (size_t)st.st_size, MADV_DONTDUMP); /* private keys are in it */
    r->p = p;
    r->n = (size_t)st.st_size;
    return 0;
}

int
sp_source_bundle(int memfd, struct sp_source **out)
{
    struct reader *r = calloc(1, sizeof(*r));
    int            err;

    if (r == NULL) {
        return -ENOMEM;
    }
    r->source = (struct sp_source){reader_read, reader_glob, reader_close};
    err = sp_arena_create(&r->arena);
    if (err == 0) {
        err = map(r, memfd);
    }
    if (err == 0) {
        err = index_all(r);
    }
    if (err < 0) {
        reader_close(&r->source);
        return err;
    }
    *out = &r->source;
    return 0;
}
