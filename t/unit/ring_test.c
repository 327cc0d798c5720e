#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/ring.h"
#include "tap.h"

static void
put(struct sp_ring *r, size_t n, unsigned char with)
{
    void *at = sp_ring_reserve(r, n);

    if (at != NULL) {
        memset(at, with, n);
    }
}

static void
test_basics(void)
{
    struct sp_ring *r;
    const void     *record;
    size_t          n;

    is_int(sp_ring_create(1000, &r), -EINVAL, "a capacity that is no power of two is refused");
    is_int(sp_ring_create(32768, &r), -EINVAL, "a capacity below 64 KiB is refused");
    is_int(sp_ring_create(SP_RING_MIN_BYTES, &r), 0, "create");
    is_int(sp_ring_peek(r, &record, &n), -EAGAIN, "empty at first");
    put(r, 5, 'a');
    is_int(sp_ring_peek(r, &record, &n), -EAGAIN, "reserved is not visible");
    sp_ring_publish(r);
    is_int(sp_ring_peek(r, &record, &n), 0, "published is");
    is_int((long)n, 5, "with its length");
    ok(memcmp(record, "aaaaa", 5) == 0, "and its bytes");
    sp_ring_advance(r);
    is_int(sp_ring_peek(r, &record, &n), -EAGAIN, "empty again");
    put(r, 0, 0);
    sp_ring_publish(r);
    is_int(sp_ring_peek(r, &record, &n), 0, "an empty record");
    is_int((long)n, 0, "has no bytes");
    sp_ring_advance(r);
    ok(sp_ring_reserve(r, sp_ring_max_record(r) + 1) == NULL, "a record above a quarter is refused");
    sp_ring_destroy(r);
}

static void
test_full_and_wrap(void)
{
    struct sp_ring *r;
    unsigned        wrote = 0, read_back = 0, wrong = 0;
    unsigned        seed = 1;

    sp_ring_create(SP_RING_MIN_BYTES, &r);
    while (sp_ring_reserve(r, 1000) != NULL) {
        wrote++;
    }
    ok(wrote > 60 && wrote <= 65, "full after %u records of 1,000 bytes", wrote);
    sp_ring_publish(r);
    ok(!sp_ring_producer_waits(r), "nobody waits yet");
    sp_ring_want_room(r);
    ok(!sp_ring_producer_waits(r), "no room, no doorbell");
    for (unsigned i = 0; i < wrote; i++) {
        const void *record;
        size_t      n;

        if (sp_ring_peek(r, &record, &n) == 0) {
            sp_ring_advance(r);
        }
    }
    ok(sp_ring_producer_waits(r), "room: the producer is told");
    ok(!sp_ring_producer_waits(r), "once");
    wrote = 0;
    for (unsigned turn = 0; turn < 200000; turn++) {
        const void *record;
        size_t      n;

        seed = seed * 1103515245 + 12345;
        if (seed & 0x10000) {
            size_t bytes = (seed >> 17) % 3000;

            if (sp_ring_reserve(r, 0) == NULL) {
                continue;
            }
            wrote++;
            put(r, bytes, (unsigned char)wrote);
            wrote++;
            sp_ring_publish(r);
        } else if (sp_ring_peek(r, &record, &n) == 0) {
            read_back++;
            for (size_t i = 0; i < n; i++) {
                wrong += ((const unsigned char *)record)[i] != ((const unsigned char *)record)[0];
            }
            sp_ring_advance(r);
        }
    }
    is_int(wrong, 0, "%u records went round, none torn", read_back);
    sp_ring_destroy(r);
}

static void
test_broken_producer(void)
{
    size_t          bytes = sp_ring_header_bytes() + SP_RING_MIN_BYTES;
    struct sp_ring *maker, *r;
    const void     *record;
    size_t          n;
    char           *memory = aligned_alloc(64, bytes), *data;

    memset(memory, 0, bytes);
    is_int(sp_ring_attach(memory, bytes, &r), -EBADMSG, "memory without a header is refused");
    is_int(sp_ring_attach(memory, 10, &r), -EBADMSG, "too short for a header");
    sp_ring_create(SP_RING_MIN_BYTES, &maker);
    memcpy(memory, *(void **)maker, sp_ring_header_bytes()); /* the first member is the mapping */
    sp_ring_destroy(maker);
    is_int(sp_ring_attach(memory, bytes, &r), 0, "a good header is taken");
    put(r, 16, 'x');
    sp_ring_publish(r);
    data = memory + sp_ring_header_bytes();
    memcpy(data, &(uint64_t){UINT64_C(1) << 40}, 8);
    is_int(sp_ring_peek(r, &record, &n), -EBADMSG, "a length that cannot be");
    is_int(sp_ring_peek(r, &record, &n), -EAGAIN, "is skipped");
    put(r, 16, 'y');
    sp_ring_publish(r);
    is_int(sp_ring_peek(r, &record, &n), 0, "and the ring goes on");
    sp_ring_destroy(r);
    free(memory);
}

/* Producers are killed at any moment, hundreds of times: what was published is whole, and the next one goes on. */
static void
test_killed_producers(void)
{
    struct sp_ring *r;
    unsigned long   read_back = 0, torn = 0;

    sp_ring_create(1u << 20, &r);
    for (unsigned round = 0; round < 200; round++) {
        pid_t child = fork();

        if (child == 0) {
            sp_ring_produce(r);
            for (unsigned i = 0;; i++) {
                size_t n = 8 + (i * 37) % 400;

                put(r, n, (unsigned char)n);
                sp_ring_publish(r);
            }
        }
        for (unsigned i = 0; i < 500 + round * 13;) {
            const void *record;
            size_t      n;

            if (sp_ring_peek(r, &record, &n) == 0) {
                i++;
                for (size_t b = 0; b < n; b++) {
                    torn += ((const unsigned char *)record)[b] != (unsigned char)n;
                }
                read_back++;
                sp_ring_advance(r);
            }
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    ok(read_back > 0 && torn == 0, "200 producers killed: %lu records read, none torn", read_back);
    sp_ring_destroy(r);
}

/* No lost wake-up: the consumer only ever waits for a byte in the pipe that the producer writes when it sees it asleep. */
static void
test_sleeping(void)
{
    enum { RECORDS = 300000 };
    struct sp_ring *r;
    int             bell[2];
    unsigned        seen = 0;
    pid_t           child;

    sp_ring_create(SP_RING_MIN_BYTES, &r);
    if (pipe(bell) < 0) {
        return;
    }
    child = fork();
    if (child == 0) {
        sp_ring_produce(r);
        for (unsigned i = 0; i < RECORDS;) {
            void *at = sp_ring_reserve(r, sizeof(i));

            if (at == NULL) {
                continue;
            }
            memcpy(at, &i, sizeof(i));
            i++;
            sp_ring_publish(r);
            if (sp_ring_consumer_sleeps(r) && write(bell[1], "!", 1) != 1) {
                _exit(1);
            }
        }
        _exit(0);
    }
    alarm(60); /* a lost wake-up would wait for ever */
    while (seen < RECORDS) {
        const void *record;
        size_t      n;
        unsigned    value;
        char        c;

        if (sp_ring_peek(r, &record, &n) < 0) {
            if (sp_ring_sleep(r) && read(bell[0], &c, 1) != 1) {
                break;
            }
            continue;
        }
        memcpy(&value, record, sizeof(value));
        if (n != sizeof(value) || value != seen) {
            break;
        }
        seen++;
        sp_ring_advance(r);
    }
    alarm(0);
    waitpid(child, NULL, 0);
    is_int(seen, RECORDS, "every record arrived in order, no wake-up was lost");
    close(bell[0]);
    close(bell[1]);
    sp_ring_destroy(r);
}

int
main(void)
{
    test_basics();
    test_full_and_wrap();
    test_broken_producer();
    test_killed_producers();
    test_sleeping();
    return done_testing();
}
