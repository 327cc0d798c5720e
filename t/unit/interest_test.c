/* Who knows when of whose interest. */
#include "router_fake.h"

static struct receiver a, b, c;

static void
test_heard(void)
{
    subscribe(0, &a, "x/+");
    is_int(a.heard, 0, "not before the others have heard");
    subscribe(0, &b, "x/+");
    is_int(b.heard, 0, "nor a second one of the same filter");
    turns(4);
    ok(a.heard == 1 && b.heard == 1, "then both");
    subscribe(0, &c, "x/+");
    is_int(c.heard, 1, "a third one at once");
    is_int(publish(1, "x/1", SP_STR("p"), 1, 0).workers, 1, "worker 1 sends to worker 0");
    sp_router_unsubscribe(processes[0].router, &a.subscriber, SP_STR("x/+"));
    sp_router_unsubscribe(processes[0].router, &b.subscriber, SP_STR("x/+"));
    turns(4);
    is_int(publish(1, "x/1", SP_STR("p"), 1, 0).workers, 1, "still, one is left");
    sp_router_forget(processes[0].router, &c.subscriber);
    turns(4);
    is_int(publish(1, "x/1", SP_STR("p"), 1, 0).workers, 0, "no more");
}

static void
test_changes_meanwhile(void)
{
    a.heard = b.heard = c.heard = 0;
    subscribe(0, &a, "y");
    subscribe(0, &b, "y");
    sp_router_unsubscribe(processes[0].router, &a.subscriber, SP_STR("y"));
    is_int(a.heard, 0, "unsubscribed meanwhile: not called from inside");
    sp_router_forget(processes[0].router, &b.subscriber);
    sp_process_run_later(&processes[0]);
    is_int(a.heard, 1, "but at the end of the turn");
    turns(4);
    is_int(b.heard, 0, "gone meanwhile: never called");
    subscribe(0, &a, "y");
    sp_router_unsubscribe(processes[0].router, &a.subscriber, SP_STR("y"));
    subscribe(0, &a, "y");
    sp_process_run_later(&processes[0]);
    is_int(a.heard, 2, "to and fro");
    turns(4);
    is_int(a.heard, 3, "the answer to the first announcement does not count for the second");
    is_int(publish(2, "y", SP_STR("p"), 1, 0).workers, 1, "and the interest is known");
    subscribe(0, &a, "y");
    is_int(a.heard, 4, "a repeated subscription: everyone knows");
    sp_router_forget(processes[0].router, &a.subscriber);
    turns(4);
}

/* A callback that takes another one out, and enters itself elsewhere. */
static void
rude(struct sp_subscriber *s, void *arg)
{
    struct sp_subscribe_options o = {.qos = 1};
    bool                        is_new;

    ((struct receiver *)s)->heard++;
    sp_router_forget(processes[0].router, &((struct receiver *)arg)->subscriber);
    sp_router_unsubscribe(processes[0].router, s, SP_STR("rude"));
    sp_router_subscribe(processes[0].router, s, SP_STR("rude/2"), &o, &is_new, fake_heard, NULL);
}

static void
test_callbacks(void)
{
    struct sp_subscribe_options o = {.qos = 1};
    bool                        is_new;

    a.heard = b.heard = 0;
    sp_router_subscribe(processes[0].router, &a.subscriber, SP_STR("rude"), &o, &is_new, rude, &b);
    sp_router_subscribe(processes[0].router, &b.subscriber, SP_STR("rude"), &o, &is_new, rude, &a);
    turns(6);
    is_int(a.heard + b.heard, 2, "one was called, forgot the other and was heard elsewhere");
    is_int(sp_router_subscriptions(processes[0].router), 1, "one subscription is left");
    sp_router_forget(processes[0].router, &a.subscriber);
    sp_router_forget(processes[0].router, &b.subscriber);
    turns(4);
}

static void
test_death(void)
{
    a.heard = 0;
    fake_stop(2);
    subscribe(0, &a, "dead");
    turns(4);
    is_int(a.heard, 0, "a worker that does not answer");
    sp_bus_peer_down(processes[0].bus, 2, 1);
    sp_bus_peer_down(processes[1].bus, 2, 1);
    is_int(a.heard, 1, "and is declared dead: nobody waits for it any longer");
    fake_start(2, 2);
    is_int(holds[2], 1, "its successor");
    sp_bus_peer_up(processes[2].bus, 0, 1);
    sp_bus_peer_up(processes[2].bus, 1, 1);
    sp_router_peers_known(processes[2].router);
    is_int(holds[2], 1, "does not accept before it was told");
    turns(4);
    is_int(holds[2], 0, "then it does");
    sp_bus_peer_up(processes[0].bus, 2, 2);
    sp_bus_peer_up(processes[1].bus, 2, 2);
    turns(4);
    is_int(publish(2, "dead", SP_STR("p"), 1, 0).workers, 1, "and knows who wants what");
    sp_router_forget(processes[0].router, &a.subscriber);
}

/* Workers 0 and 1 have not heard that worker 2 has a successor; what they say is not for it. */
static void
test_late_news(void)
{
    fake_stop(2);
    fake_start(2, 3);
    a.heard = 0;
    subscribe(0, &a, "late");
    turns(4);
    is_int(a.heard, 0, "an announcement to a predecessor is not answered by the successor");
    sp_bus_peer_up(processes[2].bus, 0, 1);
    sp_bus_peer_up(processes[2].bus, 1, 1);
    turns(4);
    is_int(a.heard, 1, "but being heard makes it known");
    sp_bus_peer_down(processes[0].bus, 2, 2);
    sp_bus_peer_up(processes[0].bus, 2, 3);
    sp_bus_peer_down(processes[1].bus, 2, 2);
    sp_bus_peer_up(processes[1].bus, 2, 3);
    turns(4);
    is_int(publish(2, "late", SP_STR("p"), 1, 0).workers, 1, "and it was told everything");
    sp_router_peers_known(processes[2].router);
    is_int(holds[2], 0, "and accepts");
    sp_router_forget(processes[0].router, &a.subscriber);
}

static void
test_many(void)
{
    enum { MANY = 20000 };
    static struct receiver many[MANY];
    unsigned               heard = 0, removed = 0;
    char                   filter[32];

    for (unsigned i = 0; i < MANY; i++) {
        fake_receiver(&many[i], 0, i);
        subscribe(0, &many[i], "many/#");
    }
    turns(10);
    for (unsigned i = 0; i < MANY; i++) {
        heard += many[i].heard;
    }
    is_int(heard, MANY, "%d clients, one filter", MANY);
    is_int(publish(0, "many/x", SP_STR("p"), 0, 0).receivers, MANY, "all receive");
    for (unsigned i = 0; i < MANY; i++) {
        removed += sp_router_unsubscribe(processes[0].router, &many[i].subscriber, SP_STR("many/#"));
    }
    is_int(removed, MANY, "all unsubscribe");
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(filter, sizeof(filter), "many/%u", i);
        subscribe(1, &b, filter);
    }
    turns(200);
    is_int(b.heard, MANY, "one client, %d filters", MANY);
    is_int(publish(0, "many/77", SP_STR("p"), 0, 0).workers, 2, "known elsewhere");
    sp_bus_peer_down(processes[0].bus, 1, 1);
    is_int(publish(0, "many/77", SP_STR("p"), 0, 0).workers, 0, "all of them forgotten with their worker");
    sp_router_forget(processes[1].router, &b.subscriber);
}

static void
test_garbage(void)
{
    char          junk[70000] = {1};
    struct iovec  iov = {junk, 0};
    static size_t sizes[] = {0, 7, 8, 9, 70000};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        iov.iov_len = sizes[i];
        for (unsigned type = SP_BUS_INTEREST_ADD; type <= SP_BUS_FLOW_RESUME; type++) {
            sp_bus_send(processes[2].bus, 0, type, 0, &iov, 1);
        }
    }
    turns(20);
    ok(sp_bus_peer_is_up(processes[0].bus, 2), "messages of the wrong size are survived");
}

int
main(void)
{
    fake_start_all(128 * 1024);
    fake_receiver(&a, 0, 1);
    fake_receiver(&b, 0, 2);
    fake_receiver(&c, 0, 3);
    test_heard();
    test_changes_meanwhile();
    test_callbacks();
    test_death();
    test_late_news();
    b.heard = 0;
    test_many();
    test_garbage();
    fake_stop_all();
    return done_testing();
}
