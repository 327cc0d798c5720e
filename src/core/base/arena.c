#include "base/arena.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define BLOCK_MIN_BYTES 4096u
#define BLOCK_MAX_BYTES (1024u * 1024u)
#define ALIGN           _Alignof(max_align_t)

struct block {
    struct block *next;
    size_t        used, bytes; /* of data */
    max_align_t   data[];
};

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

struct sp_arena {
    struct block    *blocks;   /* the first one is the one in use */
    struct deferred *deferred; /* the latest first */
    size_t           next_bytes, total_bytes;
};

static _Noreturn void
exhausted(size_t bytes)
{
    sp_log(SP_LOG_EMERG, "out of memory: an arena could not get %zu bytes", bytes);
    abort();
}

int
sp_arena_create(struct sp_arena **out)
{
    struct sp_arena *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        return -ENOMEM;
    }
    a->next_bytes = BLOCK_MIN_BYTES;
    *out = a;
    return 0;
}

void
sp_arena_destroy(struct sp_arena *a)
{
    if (a == NULL) {
        return;
    }
    while (a->deferred != NULL) {
        struct deferred *d = a->deferred;
        a->deferred = d->next; /* fn may defer more */
        d->fn(d->arg);
    }
    while (a->blocks != NULL) {
        struct block *b = a->blocks;
        a->blocks = b->next;
        OPENSSL_cleanse(b->data, b->used);
        free(b);
    }
    free(a);
}

static struct block *
add_block(struct sp_arena *a, size_t need)
{
    size_t        total;
    bool          own = need > (a->next_bytes - sizeof(struct block)) / 4; /* would waste a shared block's rest */
    struct block *b;

    if (!own) {
        total = a->next_bytes;
        a->next_bytes = total < BLOCK_MAX_BYTES ? total * 2 : total;
    } else if (!sp_size_add(&total, need, sizeof(struct block))) {
        exhausted(need);
    }
    b = calloc(1, total);
    if (b == NULL) {
        exhausted(total);
    }
    b->bytes = total - sizeof(struct block);
    a->total_bytes += total;
    if (own && a->blocks != NULL) { /* behind the one in use, whose rest stays usable */
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        b->next = a->blocks;
        a->blocks = b;
    }
    return b;
}

void *
sp_arena_alloc(struct sp_arena *a, size_t bytes)
{
    struct block *b = a->blocks;
    size_t        need;
    char         *p;

    if (!sp_size_add(&need, bytes == 0 ? 1 : bytes, ALIGN - 1)) {
        exhausted(bytes);
    }
    need &= ~(size_t)(ALIGN - 1);
    if (b == NULL || b->bytes - b->used < need) {
        b = add_block(a, need);
    }
    p = (char *)b->data + b->used;
    b->used += need;
    return p;
}

void *
sp_arena_array(struct sp_arena *a, size_t count, size_t bytes_each)
{
    size_t bytes;

    if (!sp_size_mul(&bytes, count, bytes_each)) {
        exhausted(SIZE_MAX);
    }
    return sp_arena_alloc(a, bytes);
}

struct sp_str
sp_arena_str(struct sp_arena *a, struct sp_str s)
{
    size_t bytes;
    char  *p;

    if (!sp_size_add(&bytes, s.n, 1)) {
        exhausted(s.n);
    }
    p = sp_arena_alloc(a, bytes);
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    return (struct sp_str){p, s.n};
}

char *
sp_arena_printf(struct sp_arena *a, const char *fmt, ...)
{
    va_list ap;
    int     n;
    char   *p;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        sp_log(SP_LOG_EMERG, "sp_arena_printf: the format \"%s\" failed", fmt);
        abort();
    }
    p = sp_arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

void
sp_arena_defer(struct sp_arena *a, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = sp_arena_alloc(a, sizeof(*d));

    d->fn = fn;
    d->arg = arg;
    d->next = a->deferred;
    a->deferred = d;
}

size_t
sp_arena_bytes(const struct sp_arena *a)
{
    return a->total_bytes;
}
