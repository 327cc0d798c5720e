#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "net/bus.h"
#include "net/bus_shared.h"
#include "process/process.h"
#include "tap.h"

enum { SLOTS = 3, TYPE = SP_BUS_MODULE };

static struct sp_process     processes[SLOTS];
static struct sp_bus_shared *shared;
static unsigned              got, last_from, downs, ups, rooms;
static size_t                got_bytes;
static unsigned long long    sum;
static unsigned              next_number, out_of_order;

static void
on_message(struct sp_process *p, unsigned from, const void *body, size_t n)
{
    (void)p;
    got++;
    last_from = from;
    got_bytes += n;
    for (size_t i = 0; i < n; i++) {
        sum += ((const unsigned char *)body)[i];
    }
    if (n >= sizeof(unsigned)) {
        unsigned number;

        memcpy(&number, body, sizeof(number));
        out_of_order += number != next_number++;
    }
}

static void
on_up(struct sp_process *p, unsigned slot)
{
    (void)p;
    (void)slot;
    ups++;
}

static void
on_down(struct sp_process *p, unsigned slot)
{
    (void)p;
    (void)slot;
    downs++;
}

static void
on_room(struct sp_process *p)
{
    (void)p;
    rooms++;
}

static void
start(unsigned slot, uint32_t epoch)
{
    struct sp_process *p = &processes[slot];

    memset(p, 0, sizeof(*p));
    p->slot = slot;
    p->epoch = epoch;
    p->workers = SLOTS - 1;
    p->base = event_base_new();
    sp_bus_create(p, shared, slot, epoch, p->base, &p->bus);
    sp_bus_handle(p->bus, TYPE, on_message);
    sp_bus_on_peer(p->bus, on_up, on_down);
    sp_bus_on_room(p->bus, on_room);
}

static void
stop(unsigned slot)
{
    sp_bus_destroy(processes[slot].bus);
    event_base_free(processes[slot].base);
}

static void
turn(unsigned slot)
{
    event_base_loop(processes[slot].base, EVLOOP_NONBLOCK);
    sp_bus_flush(processes[slot].bus);
}

static void
turns(unsigned n)
{
    while (n-- > 0) {
        for (unsigned i = 0; i < SLOTS; i++) {
            turn(i);
        }
    }
}

static int
send_bytes(unsigned from, unsigned to, unsigned flags, const void *bytes, size_t n)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, n};

    return sp_bus_send(processes[from].bus, to, TYPE, flags, &iov, 1);
}

static void
reset(void)
{
    got = downs = ups = rooms = next_number = out_of_order = 0;
    got_bytes = 0;
    sum = 0;
}

static void
introduce(void)
{
    for (unsigned a = 0; a < SLOTS; a++) {
        for (unsigned b = 0; b < SLOTS; b++) {
            if (a != b) {
                sp_bus_peer_up(processes[a].bus, b, processes[b].epoch);
            }
        }
    }
}

static void
test_small(void)
{
    reset();
    is_int(send_bytes(0, 1, 0, "hello", 5), -EHOSTDOWN, "nobody is up yet");
    introduce();
    is_int(ups, 6, "everyone hears of everyone");
    is_int(send_bytes(0, 0, 0, "x", 1), -EHOSTDOWN, "not to oneself");
    is_int(send_bytes(0, 99, 0, "x", 1), -EHOSTDOWN, "not to a slot that is none");
    is_int(send_bytes(0, 1, 0, "\0\0\0\0hello", 9), 0, "sent");
    turn(1);
    is_int(got, 0, "not before the sender's turn ends");
    turns(2);
    is_int(got, 1, "arrived");
    is_int((long)got_bytes, 9, "whole");
    is_int(last_from, 0, "from slot 0");
}

static void
test_order_and_congestion(void)
{
    unsigned sent = 0, refused = 0;
    char     body[1000] = {0};

    reset();
    for (; sent < 2000; sent++) {
        memcpy(body, &sent, sizeof(sent));
        if (send_bytes(0, 1, 0, body, sizeof(body)) < 0) {
            refused++;
        }
    }
    is_int(refused, 0, "what must not be lost is always taken");
    ok(sp_bus_congested(processes[0].bus, 1), "but the way is congested");
    ok(!sp_bus_congested(processes[0].bus, 2), "the other way is not");
    is_int(send_bytes(0, 1, SP_BUS_DROPPABLE, body, sizeof(body)), -EAGAIN, "what may be lost is refused");
    turns(100);
    is_int(got, 2000, "all arrived");
    is_int(out_of_order, 0, "in order");
    ok(!sp_bus_congested(processes[0].bus, 1), "no longer congested");
    is_int(rooms, 1, "and the sender was told, once");
    is_int((long)sp_bus_queued_bytes(processes[0].bus), 0, "nothing waits");
}

static void
test_large(void)
{
    size_t         n = 5u << 20;
    unsigned char *big = malloc(n);
    unsigned       number;

    reset();
    memset(big, 3, n);
    number = 0;
    send_bytes(0, 1, 0, &number, sizeof(number));
    number = 1;
    memcpy(big, &number, sizeof(number));
    is_int(send_bytes(0, 1, 0, big, n), 0, "5 MiB through a ring of 128 KiB");
    number = 2;
    send_bytes(0, 1, 0, &number, sizeof(number));
    turns(400);
    is_int(got, 3, "arrived");
    is_int(out_of_order, 0, "between its neighbours");
    is_int((long)got_bytes, (long)(n + 8), "whole");
    ok(sum == 3ull * (n - 4) + 1 + 2, "byte by byte");
    free(big);
}

static void
test_death(void)
{
    unsigned number = 0;

    reset();
    send_bytes(0, 1, 0, &number, sizeof(number));
    sp_bus_flush(processes[0].bus);
    stop(0); /* dies after it published, before slot 1 looked */
    sp_bus_peer_down(processes[1].bus, 0, 1);
    is_int(got, 1, "what the dead one had published counts");
    is_int(downs, 1, "then it is down");
    is_int(send_bytes(1, 0, 0, &number, sizeof(number)), -EHOSTDOWN, "nothing is sent to the dead");
    start(0, 2);
    send_bytes(2, 0, 0, "?", 1); /* 2 has not heard yet: meant for the predecessor, harmless */
    sp_bus_peer_up(processes[0].bus, 1, 1);
    number = 1;
    is_int(send_bytes(0, 1, 0, &number, sizeof(number)), 0, "its successor speaks");
    sp_bus_flush(processes[0].bus);
    turns(3);
    is_int(out_of_order, 0, "and is heard before the master introduced it");
    is_int(got, 2, "what was meant for its predecessor is not");
    ok(sp_bus_peer_is_up(processes[1].bus, 0), "being heard makes it known");
    sp_bus_peer_down(processes[1].bus, 0, 1);
    ok(sp_bus_peer_is_up(processes[1].bus, 0), "late news of its predecessor's death changes nothing");
}

static void
test_garbage(void)
{
    void *at;

    reset();
    at = sp_ring_reserve(shared->rings[0][1], 4);
    memcpy(at, "\1\2\3\4", 4);
    at = sp_ring_reserve(shared->rings[0][1], 64);
    memset(at, 0xff, 64);
    sp_ring_publish(shared->rings[0][1]);
    sp_bus_flush(processes[0].bus);
    turns(3);
    is_int(got, 0, "records that are no messages are ignored");
}

int
main(void)
{
    is_int(sp_bus_shared_create(0, 0, &shared), -EINVAL, "no slots");
    is_int(sp_bus_shared_create(SP_BUS_SLOTS_MAX + 1, 0, &shared), -EINVAL, "too many slots");
    is_int(sp_bus_shared_create(SLOTS, 128 * 1024, &shared), 0, "shared part");
    for (unsigned i = 0; i < SLOTS; i++) {
        start(i, 1);
    }
    test_small();
    test_order_and_congestion();
    test_large();
    test_death();
    test_garbage();
    for (unsigned i = 0; i < SLOTS; i++) {
        stop(i);
    }
    sp_bus_shared_destroy(shared);
    return done_testing();
}
