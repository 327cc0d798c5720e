/*
 * The output of one connection: a chain of chunks. Small writes are copied into the last chunk, so that many packets
 * leave in one write or TLS record; large payloads are appended by reference. Chunks come from a free list in `pool`,
 * so the steady state does not allocate, and an idle connection holds none.
 */
#ifndef SP_BASE_OUTQ_H
#define SP_BASE_OUTQ_H

#include <sys/uio.h>

#include "base/blob.h"

#define SP_OUTQ_CHUNK_BYTES 16384 /* one TLS record's worth */
#define SP_OUTQ_REF_BYTES   4096  /* from this size on a payload is referenced, not copied */

struct sp_outq_chunk;

struct sp_outq_pool { /* zeroed = empty; one per worker */
    struct sp_outq_chunk *free;
    unsigned              nfree;
};

struct sp_outq { /* zeroed = empty */
    struct sp_outq_chunk *head, *tail;
    size_t                bytes; /* waiting */
};

/* Room for n <= SP_OUTQ_CHUNK_BYTES contiguous bytes at the end; they count at once and the caller fills all of them
 * before it calls anything else on q. NULL when out of memory. */
char *sp_outq_reserve(struct sp_outq *q, struct sp_outq_pool *pool, size_t n);
/* Copies. 0 or -ENOMEM. */
int sp_outq_append(struct sp_outq *q, struct sp_outq_pool *pool, const void *bytes, size_t n);
/* References data[from .. from+n) of the blob when it is large, else copies. Takes no reference of the caller's. */
int sp_outq_append_blob(struct sp_outq *q, struct sp_outq_pool *pool, struct sp_blob *b, size_t from, size_t n);
/* The first bytes to write: fills at most max iovecs, returns how many. */
int  sp_outq_peek(const struct sp_outq *q, struct iovec *iov, int max);
void sp_outq_drain(struct sp_outq *q, struct sp_outq_pool *pool, size_t n);
void sp_outq_clear(struct sp_outq *q, struct sp_outq_pool *pool);
void sp_outq_pool_clear(struct sp_outq_pool *pool);

#endif
