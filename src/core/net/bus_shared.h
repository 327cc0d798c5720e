/* The bus's shared part, for bus.c and tests: a ring per ordered pair of slots and a doorbell (eventfd) per slot. */
#ifndef SP_NET_BUS_SHARED_H
#define SP_NET_BUS_SHARED_H

#include "net/bus.h"
#include "net/ring.h"

struct sp_bus_shared {
    unsigned        slots;
    int             doorbells[SP_BUS_SLOTS_MAX];
    struct sp_ring *rings[SP_BUS_SLOTS_MAX][SP_BUS_SLOTS_MAX]; /* [from][to] */
};

#endif
