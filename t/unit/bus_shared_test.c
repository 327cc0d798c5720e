#include "net/bus_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tap.h"

static size_t
ring_bytes(unsigned slots)
{
    struct sp_bus_shared *s;
    size_t                bytes;

    if (sp_bus_shared_create(slots, 0, &s) < 0) {
        return 0;
    }
    bytes = 4 * sp_ring_max_record(s->rings[0][1]);
    sp_bus_shared_destroy(s);
    return bytes;
}

static int
lowest_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

int
main(void)
{
    struct sp_bus_shared *s = NULL;
    unsigned              rings = 0;
    bool                  distinct = true;
    int                   before = lowest_free_fd();

    is_int(sp_bus_shared_create(0, 0, &s), -EINVAL, "no slots");
    is_int(sp_bus_shared_create(SP_BUS_SLOTS_MAX + 1, 0, &s), -EINVAL, "more slots than there can be");
    is_int(sp_bus_shared_create(3, 1000, &s), -EINVAL, "rings of no size that a ring can have");
    is_int(lowest_free_fd(), before, "nothing is left open");
    is_int(sp_bus_shared_create(3, SP_RING_MIN_BYTES, &s), 0, "three slots");
    for (unsigned from = 0; from < 3; from++) {
        for (unsigned to = 0; to < 3; to++) {
            rings += s->rings[from][to] != NULL;
            distinct = distinct && (from == to) == (s->rings[from][to] == NULL);
        }
        distinct = distinct && s->doorbells[from] >= 0 && s->doorbells[from] != s->doorbells[(from + 1) % 3];
    }
    is_int(rings, 6, "a ring for each ordered pair");
    ok(distinct, "none to oneself, and a doorbell for each");
    sp_bus_shared_destroy(s);
    sp_bus_shared_destroy(NULL);
    is_int(lowest_free_fd(), before, "all closed");
    is_int(ring_bytes(2), 8 << 20, "one worker: 8 MiB");
    is_int(ring_bytes(5), 2 << 20, "four workers: 2 MiB");
    is_int(ring_bytes(4), 2 << 20, "three: the power of two below their share");
    is_int(ring_bytes(33), 256 << 10, "32: 256 KiB");
    is_int(ring_bytes(65), 128 << 10, "64: 128 KiB, the least");
    return done_testing();
}
