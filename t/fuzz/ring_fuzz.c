/* The consumer of a ring whose producer writes whatever it likes: header, positions, lengths, bodies. */
#include <stdlib.h>
#include <string.h>

#include "net/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct sp_ring *maker;
    size_t                 header = sp_ring_header_bytes(), total = header + SP_RING_MIN_BYTES;
    char                  *memory;
    struct sp_ring        *r;
    unsigned               sum = 0;

    if (maker == NULL && sp_ring_create(SP_RING_MIN_BYTES, &maker) < 0) {
        abort();
    }
    memory = aligned_alloc(64, total);
    memset(memory, 0, total);
    memcpy(memory, *(void **)maker, header);
    if (n >= 16) {
        /* the producer's line: tail and flag; the rest is records */
        memcpy(memory + 64, bytes, 16);
        bytes += 16;
        n -= 16;
    }
    memcpy(memory + header, bytes, n < SP_RING_MIN_BYTES ? n : SP_RING_MIN_BYTES);
    if (sp_ring_attach(memory, total, &r) == 0) {
        for (unsigned i = 0; i < 20000; i++) {
            const void *record;
            size_t      bytes_in;
            int         rc = sp_ring_peek(r, &record, &bytes_in);

            if (rc == 0) {
                for (size_t b = 0; b < bytes_in; b++) {
                    sum += ((const unsigned char *)record)[b];
                }
                sp_ring_advance(r);
            } else if (rc == -11) {
                break;
            }
        }
        (void)sp_ring_sleep(r);
        (void)sp_ring_producer_waits(r);
        sp_ring_destroy(r);
    }
    free(memory);
    return sum == 0xdeadbeef ? -1 : 0; /* every byte was read */
}
