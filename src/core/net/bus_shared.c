#include "net/bus_shared.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING_BYTES_TOTAL (8u << 20)
#define RING_BYTES_MIN   (128u << 10)

static size_t
default_ring_bytes(unsigned slots)
{
    size_t bytes = RING_BYTES_TOTAL;
    size_t workers = slots > 1 ? slots - 1 : 1;

    while (bytes > RING_BYTES_MIN && bytes > RING_BYTES_TOTAL / workers) {
        bytes /= 2;
    }
    return bytes;
}

int
sp_bus_shared_create(unsigned slots, size_t ring_bytes, struct sp_bus_shared **out)
{
    struct sp_bus_shared *s;
    int                   rc;

    if (slots == 0 || slots > SP_BUS_SLOTS_MAX) {
        return -EINVAL;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->slots = slots;
    for (unsigned i = 0; i < slots; i++) {
        s->doorbells[i] = -1;
    }
    for (unsigned from = 0; from < slots; from++) {
        s->doorbells[from] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (s->doorbells[from] < 0) {
            rc = -errno;
            goto fail;
        }
        for (unsigned to = 0; to < slots; to++) {
            if (from == to) {
                continue;
            }
            rc = sp_ring_create(ring_bytes > 0 ? ring_bytes : default_ring_bytes(slots), &s->rings[from][to]);
            if (rc < 0) {
                goto fail;
            }
        }
    }
    *out = s;
    return 0;

fail:
    sp_bus_shared_destroy(s);
    return rc;
}

void
sp_bus_shared_destroy(struct sp_bus_shared *s)
{
    if (s == NULL) {
        return;
    }
    for (unsigned from = 0; from < s->slots; from++) {
        if (s->doorbells[from] >= 0) {
            close(s->doorbells[from]);
        }
        for (unsigned to = 0; to < s->slots; to++) {
            sp_ring_destroy(s->rings[from][to]);
        }
    }
    free(s);
}
