#include "base/outq.h"

#include <errno.h>
#include <stdlib.h>

#include "tap.h"

#define MODEL_BYTES (4u << 20)

/* What should be in the queue: a plain buffer. */
static char  *model;
static size_t model_start, model_end;

static void
model_add(const void *bytes, size_t n)
{
    memcpy(model + model_end, bytes, n);
    model_end += n;
}

/* All that peek shows is what the model has, from its start. */
static bool
agrees(const struct sp_outq *q, int max)
{
    struct iovec iov[64];
    int          n = sp_outq_peek(q, iov, max);
    size_t       at = model_start;

    if (q->bytes != model_end - model_start || n > max || (n == 0) != (q->bytes == 0)) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (iov[i].iov_len == 0 || iov[i].iov_len > model_end - at ||
            memcmp(iov[i].iov_base, model + at, iov[i].iov_len) != 0) {
            return false;
        }
        at += iov[i].iov_len;
    }
    return n == max || at == model_end;
}

static void
test_small(void)
{
    struct sp_outq_pool pool = {0};
    struct sp_outq      q = {0};
    struct iovec        iov[4];
    char               *p;

    is_int(sp_outq_peek(&q, iov, 4), 0, "empty");
    is_int(sp_outq_append(&q, &pool, "abc", 3), 0, "append");
    p = sp_outq_reserve(&q, &pool, 2);
    memcpy(p, "de", 2);
    is_int(sp_outq_append(&q, &pool, NULL, 0), 0, "append nothing");
    is_int(q.bytes, 5, "bytes");
    is_int(sp_outq_peek(&q, iov, 4), 1, "small writes are one piece");
    is_mem(iov[0].iov_base, iov[0].iov_len, "abcde", 5, "the piece");
    sp_outq_drain(&q, &pool, 2);
    is_int(sp_outq_peek(&q, iov, 4), 1, "drained a part");
    is_mem(iov[0].iov_base, iov[0].iov_len, "cde", 3, "the rest");
    sp_outq_drain(&q, &pool, 3);
    ok(q.head == NULL && q.tail == NULL && q.bytes == 0, "an empty queue holds no chunk");
    is_int(pool.nfree, 1, "the chunk is in the pool");
    ok(sp_outq_append(&q, &pool, "x", 1) == 0 && pool.nfree == 0, "and taken again");
    ok(sp_outq_reserve(&q, &pool, SP_OUTQ_CHUNK_BYTES + 1) == NULL && q.bytes == 1, "reserve: too large");
    ok(sp_outq_reserve(&q, &pool, SP_OUTQ_CHUNK_BYTES) != NULL && q.bytes == 1 + SP_OUTQ_CHUNK_BYTES,
       "reserve: a chunk");
    sp_outq_clear(&q, &pool);
    ok(q.head == NULL && q.bytes == 0 && pool.nfree == 2, "clear");
    sp_outq_pool_clear(&pool);
    ok(pool.free == NULL && pool.nfree == 0, "pool clear");
}

static void
test_blobs(void)
{
    struct sp_outq_pool pool = {0};
    struct sp_outq      q = {0};
    struct sp_blob     *b = sp_blob_new(NULL, 10000);
    struct iovec        iov[4];

    memset(b->data, 'b', b->n);
    is_int(sp_outq_append_blob(&q, &pool, b, 0, SP_OUTQ_REF_BYTES - 1), 0, "a small blob");
    is_int(b->refs, 1, "is copied");
    is_int(sp_outq_append_blob(&q, &pool, b, 100, 9900), 0, "a large blob");
    is_int(b->refs, 2, "is referenced");
    is_int(sp_outq_append_blob(&q, &pool, b, 100, 9901), -EINVAL, "beyond its end");
    is_int(sp_outq_append_blob(&q, &pool, b, 10001, 0), -EINVAL, "from beyond its end");
    ok(b->refs == 2 && q.bytes == SP_OUTQ_REF_BYTES - 1 + 9900, "changes nothing");
    is_int(sp_outq_append(&q, &pool, "tail", 4), 0, "bytes behind");
    is_int(sp_outq_peek(&q, iov, 4), 3, "three pieces");
    ok(iov[1].iov_base == b->data + 100 && iov[1].iov_len == 9900, "the payload itself");
    is_mem(iov[2].iov_base, iov[2].iov_len, "tail", 4, "the bytes behind");
    sp_outq_drain(&q, &pool, SP_OUTQ_REF_BYTES - 1 + 9000);
    ok(b->refs == 2 && sp_outq_peek(&q, iov, 4) == 2 && iov[0].iov_len == 900, "drained a part of the payload");
    sp_outq_drain(&q, &pool, 900);
    ok(b->refs == 1 && sp_outq_peek(&q, iov, 4) == 1, "drained the payload");
    is_int(sp_outq_append_blob(&q, &pool, b, 0, b->n), 0, "again");
    sp_outq_clear(&q, &pool);
    is_int(b->refs, 1, "clear drops the reference");
    sp_blob_unref(b);
    sp_outq_pool_clear(&pool);
}

static void
random_step(struct sp_outq *q, struct sp_outq_pool *pool, struct sp_blob *b)
{
    size_t small = (size_t)rand() % 300, large = (size_t)rand() % 50000, from;
    char  *p;

    switch (rand() % 8) {
    case 0:
        (void)sp_outq_append(q, pool, b->data + 7, large);
        model_add(b->data + 7, large);
        break;
    case 1:
    case 2:
        from = (size_t)rand() % (b->n - large);
        (void)sp_outq_append_blob(q, pool, b, from, large);
        model_add(b->data + from, large);
        break;
    case 3:
        large %= SP_OUTQ_CHUNK_BYTES + 1;
        p = sp_outq_reserve(q, pool, large);
        memcpy(p, b->data + 11, large);
        model_add(b->data + 11, large);
        break;
    case 4:
    case 5:
        large = (size_t)rand() % (q->bytes + 1);
        sp_outq_drain(q, pool, large);
        model_start += large;
        break;
    default:
        (void)sp_outq_append(q, pool, b->data + 3, small);
        model_add(b->data + 3, small);
    }
}

static void
test_random(void)
{
    struct sp_outq_pool pool = {0};
    struct sp_outq      q = {0};
    struct sp_blob     *b = sp_blob_new(NULL, 60000);
    bool                good = true;

    for (size_t i = 0; i < b->n; i++) {
        b->data[i] = (char)rand();
    }
    for (unsigned round = 0; round < 20000; round++) {
        random_step(&q, &pool, b);
        good = good && agrees(&q, 1 + rand() % 64);
        if (model_end > MODEL_BYTES - 200000) { /* start over */
            sp_outq_drain(&q, &pool, q.bytes);
            good = good && b->refs == 1 && q.head == NULL;
            model_start = model_end = 0;
        }
    }
    ok(good, "random use agrees with a plain buffer");
    sp_outq_clear(&q, &pool);
    ok(b->refs == 1 && pool.nfree <= 64, "nothing is left over; the pool is bounded");
    sp_blob_unref(b);
    sp_outq_pool_clear(&pool);
}

int
main(void)
{
    srand(1);
    model = malloc(MODEL_BYTES);
    test_small();
    test_blobs();
    test_random();
    free(model);
    return done_testing();
}
