#include "net/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Shared: each side writes its own cache line. Positions count bytes and never wrap in practice (64 bits); the place in
 * the data is position modulo capacity. A record is a length word (8 bytes, so that records stay aligned), then its
 * bytes, padded to 8. WRAP in the length word: the rest up to the end of the data is unused.
 */
struct ring_shared {
    uint64_t magic;
    uint64_t capacity;
    _Alignas(64) _Atomic uint64_t tail; /* producer */
    _Atomic uint32_t wants_room;        /* producer sets, consumer clears */
    _Alignas(64) _Atomic uint64_t head; /* consumer */
    _Atomic uint32_t sleeps;            /* consumer sets, either clears */
    _Alignas(64) char data[];
};

struct sp_ring {
    struct ring_shared *shared;
    size_t              mapped_bytes; /* 0: not ours */
    uint64_t            capacity;
    uint64_t            local_tail; /* producer: reserved but perhaps not published */
    uint64_t            seen_head;  /* producer: the consumer's position when last looked at */
    uint64_t            local_head; /* consumer */
    uint64_t            seen_tail;  /* consumer */
    uint64_t            peeked_bytes;
};

#define RING_MAGIC UINT64_C(0x31676e6972707373)
#define RING_WRAP  UINT64_MAX
#define WORD       sizeof(uint64_t)

static uint64_t
aligned(uint64_t n)
{
    return (n + SP_RING_ALIGN - 1) & ~(uint64_t)(SP_RING_ALIGN - 1);
}

static uint64_t
padded(size_t n)
{
    return WORD + aligned(n);
}

size_t
sp_ring_header_bytes(void)
{
    return sizeof(struct ring_shared);
}

static int
wrap(void *memory, size_t mapped_bytes, uint64_t capacity, struct sp_ring **out)
{
    struct sp_ring *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return -ENOMEM;
    }
    r->shared = memory;
    r->mapped_bytes = mapped_bytes;
    r->capacity = capacity;
    sp_ring_produce(r);
    r->local_head = atomic_load_explicit(&r->shared->head, memory_order_relaxed);
    r->seen_tail = r->local_head;
    *out = r;
    return 0;
}

static bool
capacity_valid(uint64_t bytes)
{
    return bytes >= SP_RING_MIN_BYTES && bytes <= (UINT64_C(1) << 30) && (bytes & (bytes - 1)) == 0;
}

int
sp_ring_create(size_t bytes, struct sp_ring **out)
{
    size_t              total = sizeof(struct ring_shared) + bytes;
    struct ring_shared *shared;
    int                 fd, rc;

    if (!capacity_valid(bytes)) {
        return -EINVAL;
    }
    fd = memfd_create("sallyport-ring", MFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    if (ftruncate(fd, (off_t)total) < 0) {
        rc = -errno;
        goto fail_fd;
    }
    shared = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) {
        rc = -errno;
        goto fail_fd;
    }
    close(fd);
    shared->magic = RING_MAGIC;
    shared->capacity = bytes;
    rc = wrap(shared, total, bytes, out);
    if (rc < 0) {
        munmap(shared, total);
    }
    return rc;

fail_fd:
    close(fd);
    return rc;
}

int
sp_ring_attach(void *memory, size_t bytes, struct sp_ring **out)
{
    struct ring_shared *shared = memory;

    if (bytes < sizeof(*shared) || !capacity_valid(bytes - sizeof(*shared)) || shared->magic != RING_MAGIC ||
        shared->capacity != bytes - sizeof(*shared)) {
        return -EBADMSG;
    }
    return wrap(memory, 0, bytes - sizeof(*shared), out);
}

void
sp_ring_destroy(struct sp_ring *r)
{
    if (r == NULL) {
        return;
    }
    if (r->mapped_bytes > 0) {
        munmap(r->shared, r->mapped_bytes);
    }
    free(r);
}

size_t
sp_ring_max_record(const struct sp_ring *r)
{
    return (size_t)(r->capacity / 4);
}

size_t
sp_ring_used(const struct sp_ring *r)
{
    uint64_t head = atomic_load_explicit(&r->shared->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&r->shared->tail, memory_order_acquire);

    return (size_t)(tail - head);
}

/* -- producer -- */

void
sp_ring_produce(struct sp_ring *r)
{
    /* a predecessor that went mad may have left it between two records */
    r->local_tail = aligned(atomic_load_explicit(&r->shared->tail, memory_order_relaxed));
    r->seen_head = r->local_tail - r->capacity; /* no room until it was looked at */
}

static bool
has_room(struct sp_ring *r, uint64_t need)
{
    uint64_t head;

    if (r->capacity - (r->local_tail - r->seen_head) >= need) {
        return true;
    }
    head = atomic_load_explicit(&r->shared->head, memory_order_acquire);
    if (r->local_tail - head > r->capacity) {
        return false; /* a head that cannot be (a broken consumer): never taken for room */
    }
    r->seen_head = head;
    return r->capacity - (r->local_tail - head) >= need;
}

void *
sp_ring_reserve(struct sp_ring *r, size_t n)
{
    uint64_t need = padded(n), at = r->local_tail & (r->capacity - 1), to_end = r->capacity - at;
    uint64_t word = n;

    if (n > sp_ring_max_record(r)) {
        return NULL;
    }
    if (to_end < need) {
        if (!has_room(r, to_end + need)) {
            return NULL;
        }
        memcpy(r->shared->data + at, &(uint64_t){RING_WRAP}, WORD);
        r->local_tail += to_end;
        at = 0;
    } else if (!has_room(r, need)) {
        return NULL;
    }
    memcpy(r->shared->data + at, &word, WORD);
    r->local_tail += need;
    return r->shared->data + at + WORD;
}

void
sp_ring_publish(struct sp_ring *r)
{
    atomic_store_explicit(&r->shared->tail, r->local_tail, memory_order_release);
}

bool
sp_ring_consumer_sleeps(struct sp_ring *r)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&r->shared->sleeps, memory_order_relaxed) == 0) {
        return false;
    }
    return atomic_exchange_explicit(&r->shared->sleeps, 0, memory_order_acq_rel) != 0;
}

void
sp_ring_want_room(struct sp_ring *r)
{
    atomic_store_explicit(&r->shared->wants_room, 1, memory_order_relaxed);
    /* pairs with the one in sp_ring_producer_waits: either it sees the wish or we see its head (arm64's ldapr may pass a
     * seq_cst store, so that alone is not enough) */
    atomic_thread_fence(memory_order_seq_cst);
}

/* -- consumer -- */

void
sp_ring_consume(struct sp_ring *r)
{
    r->local_head = atomic_load_explicit(&r->shared->tail, memory_order_acquire);
    r->seen_tail = r->local_head;
    r->peeked_bytes = 0;
    atomic_store_explicit(&r->shared->sleeps, 0, memory_order_relaxed);
    atomic_store_explicit(&r->shared->head, r->local_head, memory_order_release);
}

static int
skip_bad(struct sp_ring *r)
{
    sp_ring_consume(r);
    return -EBADMSG;
}

int
sp_ring_peek(struct sp_ring *r, const void **record, size_t *n)
{
    for (;;) {
        uint64_t at, ready, word;

        if (r->local_head == r->seen_tail) {
            r->seen_tail = atomic_load_explicit(&r->shared->tail, memory_order_acquire);
            if (r->local_head == r->seen_tail) {
                return -EAGAIN;
            }
        }
        if (r->local_head != aligned(r->local_head)) {
            r->local_head =
                aligned(r->local_head); /* behind a broken producer: its successor goes on at the next place */
        }
        ready = r->seen_tail - r->local_head;
        at = r->local_head & (r->capacity - 1);
        if (ready > r->capacity || ready < WORD) {
            return skip_bad(r);
        }
        memcpy(&word, r->shared->data + at, WORD);
        if (word == RING_WRAP) {
            if (r->capacity - at > ready || at == 0) {
                return skip_bad(r);
            }
            r->local_head += r->capacity - at;
            continue;
        }
        if (word > sp_ring_max_record(r) || padded(word) > ready || padded(word) > r->capacity - at) {
            return skip_bad(r);
        }
        *record = r->shared->data + at + WORD;
        *n = (size_t)word;
        r->peeked_bytes = padded(word);
        return 0;
    }
}

void
sp_ring_advance(struct sp_ring *r)
{
    r->local_head += r->peeked_bytes;
    r->peeked_bytes = 0;
    atomic_store_explicit(&r->shared->head, r->local_head, memory_order_release);
}

bool
sp_ring_sleep(struct sp_ring *r)
{
    atomic_store_explicit(&r->shared->sleeps, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&r->shared->tail, memory_order_acquire) == r->local_head) {
        return true;
    }
    sp_ring_wake(r);
    return false;
}

void
sp_ring_wake(struct sp_ring *r)
{
    atomic_store_explicit(&r->shared->sleeps, 0, memory_order_relaxed);
}

bool
sp_ring_producer_waits(struct sp_ring *r)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&r->shared->wants_room, memory_order_relaxed) == 0 || sp_ring_used(r) > r->capacity / 2) {
        return false;
    }
    return atomic_exchange_explicit(&r->shared->wants_room, 0, memory_order_acq_rel) != 0;
}
