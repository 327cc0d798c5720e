/* No publisher stays paused for ever. */
#include "router_fake.h"

static struct receiver a, b, far;

static void
test_receivers(void)
{
    uint64_t            one = fake_publisher(0, 1);
    struct sp_published done;

    subscribe(0, &a, "t");
    subscribe(0, &b, "t");
    turns(4);
    a.full = b.full = true;
    done = publish(0, "t", SP_STR("x"), 1, one);
    ok(done.paused && *paused_at(one) == 2, "two full receivers: held up twice");
    publish(0, "t", SP_STR("x"), 1, one);
    is_int(*paused_at(one), 2, "and no more for the next message");
    a.full = b.full = false;
    sp_router_ready(processes[0].router, &a.subscriber);
    is_int(*paused_at(one), 1, "one has room");
    sp_router_forget(processes[0].router, &b.subscriber);
    is_int(*paused_at(one), 0, "the other one goes: the publisher goes on");
    a.full = true;
    conns[0][1].open = false;
    done = publish(0, "t", SP_STR("x"), 1, one);
    ok(!done.paused && a.subscriber.waiters == NULL, "a will of a connection that has gone: nobody to hold up");
    a.full = false;
}

static void
test_far_receiver(void)
{
    uint64_t one = fake_publisher(0, 1), two = fake_publisher(0, 2);

    subscribe(1, &far, "far");
    turns(4);
    far.full = true;
    publish(0, "far", SP_STR("x"), 1, one);
    publish(0, "far", SP_STR("x"), 1, two);
    turns(4);
    ok(*paused_at(one) == 1 && *paused_at(two) == 1, "a full receiver in another worker");
    conns[0][2].open = false;
    sp_router_forget(processes[1].router, &far.subscriber);
    turns(4);
    is_int(*paused_at(one), 0, "goes: the publisher goes on");
    is_int(*paused_at(two), 1, "one that has gone meanwhile is left alone");
    fake_publisher(0, 2);
    subscribe(1, &far, "far");
    turns(4);
    publish(0, "far", SP_STR("x"), 1, one);
    publish(2, "far", SP_STR("x"), 1, fake_publisher(2, 7));
    turns(4);
    ok(*paused_at(one) == 1 && *paused_at((uint64_t)2 << 56 | 7) == 1, "publishers of two workers wait for it");
    fake_stop(1);
    sp_bus_peer_down(processes[0].bus, 1, 1);
    sp_bus_peer_down(processes[2].bus, 1, 1);
    is_int(*paused_at(one), 0, "its worker dies: the publisher goes on");
    is_int(*paused_at((uint64_t)2 << 56 | 7), 0, "so does the other worker's");
    fake_receiver(&far, 1, 1);
    fake_start(1, 2);
    sp_bus_peer_up(processes[1].bus, 0, 1);
    sp_bus_peer_up(processes[1].bus, 2, 1);
    sp_router_peers_known(processes[1].router);
    sp_bus_peer_up(processes[0].bus, 1, 2);
    sp_bus_peer_up(processes[2].bus, 1, 2);
    turns(4);
    is_int(holds[1], 0, "its successor has heard of everything");
}

static void
test_room(void)
{
    static char         body[10000];
    struct sp_str       big = {body, sizeof(body)};
    uint64_t            one = fake_publisher(0, 1), two = fake_publisher(0, 2);
    struct sp_published done = {0};
    unsigned            sent = 0;

    subscribe(1, &far, "room");
    turns(4);
    for (; sent < 1000 && !done.paused; sent++) {
        done = publish(0, "room", big, 1, one);
    }
    ok(done.paused && *paused_at(one) == 1, "a ring without room holds up the publisher after %u messages", sent);
    publish(0, "room", big, 1, two);
    is_int(*paused_at(two), 1, "and the next one");
    done = publish(0, "room", big, 0, two);
    is_int(done.workers, 0, "QoS 0 is dropped");
    turns(50);
    ok(*paused_at(one) == 0 && *paused_at(two) == 0, "with room both go on");
    is_int(far.got, sent + 1, "and everything has arrived");
    for (done.paused = false; !done.paused;) {
        done = publish(0, "room", big, 1, one);
    }
    sp_bus_peer_down(processes[0].bus, 1, 2);
    turns(2);
    is_int(*paused_at(one), 0, "the reader of the ring dies: the publisher goes on");
}

static void
test_many(void)
{
    enum { MANY = CONNS };
    unsigned held = 0, free_again = 0;

    a.full = true;
    for (unsigned i = 0; i < MANY; i++) {
        publish(0, "t", SP_STR("x"), 1, fake_publisher(0, i));
    }
    for (unsigned i = 0; i < MANY; i++) {
        held += *paused_at(i) == (i > 0); /* id 0 is the gateway itself */
    }
    is_int(held, MANY, "one receiver holds up %u publishers", MANY);
    sp_router_ready(processes[0].router, &a.subscriber);
    for (unsigned i = 0; i < MANY; i++) {
        free_again += *paused_at(i) == 0;
    }
    is_int(free_again, MANY, "and lets all of them go");
}

int
main(void)
{
    fake_start_all(128 * 1024);
    fake_receiver(&a, 0, 1);
    fake_receiver(&b, 0, 2);
    fake_receiver(&far, 1, 1);
    test_receivers();
    test_far_receiver();
    test_room();
    test_many();
    sp_router_forget(processes[0].router, &a.subscriber);
    fake_stop_all();
    return done_testing();
}
