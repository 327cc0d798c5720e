#include "base/outq.h"

#include <errno.h>
#include <stdlib.h>

#define REFS_PER_CHUNK 16
#define POOL_MAX       64 /* free chunks kept: 1 MiB */

/* A payload by reference that goes out after the first `at` bytes of data. */
struct ref {
    struct sp_blob *blob;
    uint32_t        from, n, at;
};

struct sp_outq_chunk {
    struct sp_outq_chunk *next;
    uint32_t              start, end;     /* of data that waits */
    uint32_t              ref, ref_count; /* the first that waits; in all */
    struct ref            refs[REFS_PER_CHUNK];
    char                  data[SP_OUTQ_CHUNK_BYTES];
};

static struct sp_outq_chunk *
add_chunk(struct sp_outq *q, struct sp_outq_pool *pool)
{
    struct sp_outq_chunk *c = pool->free;

    if (c != NULL) {
        pool->free = c->next;
        pool->nfree--;
    } else if ((c = malloc(sizeof(*c))) == NULL) {
        return NULL;
    }
    c->next = NULL;
    c->start = c->end = c->ref = c->ref_count = 0;
    if (q->tail == NULL) {
        q->head = c;
    } else {
        q->tail->next = c;
    }
    q->tail = c;
    return c;
}

static void
drop_head(struct sp_outq *q, struct sp_outq_pool *pool)
{
    struct sp_outq_chunk *c = q->head;

    for (; c->ref < c->ref_count; c->ref++) {
        sp_blob_unref(c->refs[c->ref].blob);
    }
    q->head = c->next;
    if (q->head == NULL) {
        q->tail = NULL;
    }
    if (pool->nfree < POOL_MAX) {
        c->next = pool->free;
        pool->free = c;
        pool->nfree++;
    } else {
        free(c);
    }
}

char *
sp_outq_reserve(struct sp_outq *q, struct sp_outq_pool *pool, size_t n)
{
    struct sp_outq_chunk *c = q->tail;
    char                 *p;

    if (n > SP_OUTQ_CHUNK_BYTES) {
        return NULL;
    }
    if (c == NULL || SP_OUTQ_CHUNK_BYTES - c->end < n) {
        c = add_chunk(q, pool);
        if (c == NULL) {
            return NULL;
        }
    }
    p = c->data + c->end;
    c->end += (uint32_t)n;
    q->bytes += n;
    return p;
}

/* Takes back what was appended after `tail` was at `end`: a failed append leaves the queue as it was. */
static void
cut_back(struct sp_outq *q, struct sp_outq_pool *pool, struct sp_outq_chunk *tail, uint32_t end)
{
    struct sp_outq rest;

    rest = (struct sp_outq){tail != NULL ? tail->next : q->head, q->tail, 0};
    q->tail = tail;
    if (tail != NULL) {
        tail->next = NULL;
        tail->end = end;
    } else {
        q->head = NULL;
    }
    while (rest.head != NULL) {
        drop_head(&rest, pool);
    }
}

int
sp_outq_append(struct sp_outq *q, struct sp_outq_pool *pool, const void *bytes, size_t n)
{
    struct sp_outq_chunk *tail = q->tail, *c = tail;
    uint32_t              end = tail != NULL ? tail->end : 0;
    const char           *from = bytes;

    for (size_t left = n; left > 0;) {
        size_t part;

        if ((c == NULL || c->end == SP_OUTQ_CHUNK_BYTES) && (c = add_chunk(q, pool)) == NULL) {
            cut_back(q, pool, tail, end);
            return -ENOMEM;
        }
        part = SP_OUTQ_CHUNK_BYTES - c->end;
        part = part < left ? part : left;
        memcpy(c->data + c->end, from, part);
        c->end += (uint32_t)part;
        from += part;
        left -= part;
    }
    q->bytes += n;
    return 0;
}

int
sp_outq_append_blob(struct sp_outq *q, struct sp_outq_pool *pool, struct sp_blob *b, size_t from, size_t n)
{
    struct sp_outq_chunk *c = q->tail;

    if (from > b->n || n > b->n - from) {
        return -EINVAL;
    }
    if (n < SP_OUTQ_REF_BYTES) {
        return sp_outq_append(q, pool, b->data + from, n);
    }
    if ((c == NULL || c->ref_count == REFS_PER_CHUNK) && (c = add_chunk(q, pool)) == NULL) {
        return -ENOMEM;
    }
    c->refs[c->ref_count++] = (struct ref){sp_blob_ref(b), (uint32_t)from, (uint32_t)n, c->end};
    q->bytes += n;
    return 0;
}

int
sp_outq_peek(const struct sp_outq *q, struct iovec *iov, int max)
{
    int n = 0;

    for (struct sp_outq_chunk *c = q->head; c != NULL; c = c->next) {
        uint32_t at = c->start;

        for (uint32_t i = c->ref; i <= c->ref_count; i++) {
            uint32_t end = i < c->ref_count ? c->refs[i].at : c->end;

            if (end > at && n < max) {
                iov[n++] = (struct iovec){c->data + at, end - at};
                at = end;
            }
            if (n >= max) {
                return n;
            }
            if (i < c->ref_count) {
                iov[n++] = (struct iovec){c->refs[i].blob->data + c->refs[i].from, c->refs[i].n};
            }
        }
    }
    return n;
}

static uint32_t
least(size_t a, uint32_t b)
{
    return a < b ? (uint32_t)a : b;
}

void
sp_outq_drain(struct sp_outq *q, struct sp_outq_pool *pool, size_t n)
{
    n = n < q->bytes ? n : q->bytes;
    q->bytes -= n;
    while (q->head != NULL) {
        struct sp_outq_chunk *c = q->head;
        struct ref           *r = c->ref < c->ref_count ? &c->refs[c->ref] : NULL;
        uint32_t              part = least(n, (r != NULL ? r->at : c->end) - c->start);

        c->start += part;
        n -= part;
        if (r != NULL) {
            if (n == 0) {
                return;
            }
            part = least(n, r->n);
            r->from += part;
            r->n -= part;
            n -= part;
            if (r->n > 0) {
                return;
            }
            sp_blob_unref(r->blob);
            c->ref++;
        } else if (c->start == c->end) {
            drop_head(q, pool);
        } else {
            return;
        }
    }
}

void
sp_outq_clear(struct sp_outq *q, struct sp_outq_pool *pool)
{
    while (q->head != NULL) {
        drop_head(q, pool);
    }
    q->bytes = 0;
}

void
sp_outq_pool_clear(struct sp_outq_pool *pool)
{
    while (pool->free != NULL) {
        struct sp_outq_chunk *c = pool->free;
        pool->free = c->next;
        free(c);
    }
    pool->nfree = 0;
}
