#include <event2/event.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/wheel.h"
#include "tap.h"

static unsigned fired;
static bool     early, late;

struct probe {
    struct sp_timer  t;
    struct sp_wheel *w;
    struct probe    *victim;
    uint64_t         due_ms;
    unsigned         again;
};

static void
on_probe(struct sp_timer *t, void *arg)
{
    struct probe *p = arg;
    uint64_t      now = sp_clock_ns() / 1000000;

    fired++;
    early = early || now < p->due_ms;
    late = late || sp_timer_armed(t);
    if (p->victim != NULL) {
        sp_timer_cancel(&p->victim->t);
    }
    if (p->again > 0) {
        p->again--;
        p->due_ms = sp_clock_ms() + 10;
        sp_timer_arm(p->w, t, 10, on_probe, p);
    }
}

static void
on_free(struct sp_timer *t, void *arg)
{
    (void)t;
    fired++;
    free(arg);
}

static void
arm(struct sp_wheel *w, struct probe *p, uint64_t ms)
{
    p->w = w;
    p->due_ms = sp_clock_ms() + ms;
    sp_timer_arm(w, &p->t, ms, on_probe, p);
}

static void
run(struct event_base *base)
{
    while (event_base_loop(base, EVLOOP_ONCE) == 0) { /* ends when nothing is armed */
        sp_clock_update();
    }
}

int
main(void)
{
    struct event_base *base = event_base_new();
    struct sp_wheel   *w = NULL;
    struct probe       p[200] = {0}, far = {0};

    is_int(sizeof(struct sp_timer), 40, "40 bytes a timer");
    is_int(sp_wheel_create(base, &w), 0, "create");
    ok(!sp_timer_armed(&p[0].t), "a zeroed timer is not armed");
    sp_timer_cancel(&p[0].t);

    for (unsigned i = 0; i < 200; i++) {
        arm(w, &p[i], i * 3);
    }
    run(base);
    is_int(fired, 200, "each fires once");
    ok(!early, "none fires early");
    ok(!late, "each is disarmed before it fires");

    fired = 0;
    p[0].again = 3;
    arm(w, &p[0], 0);
    run(base);
    is_int(fired, 4, "a timer may arm itself again");

    fired = 0;
    arm(w, &p[0], 5);
    arm(w, &p[1], 5);
    p[0].victim = &p[1];
    p[1].victim = &p[0];
    run(base);
    is_int(fired, 1, "a timer cancels one of its own slot while it fires");
    p[0].victim = p[1].victim = NULL;

    fired = 0;
    arm(w, &p[0], 50);
    arm(w, &p[0], 1000000);
    ok(sp_timer_armed(&p[0].t), "armed again before it was due");
    sp_timer_cancel(&p[0].t);
    sp_timer_cancel(&p[0].t);
    ok(!sp_timer_armed(&p[0].t), "cancelled, twice");

    struct sp_timer *own = calloc(1, sizeof(*own));
    sp_timer_arm(w, own, 1, on_free, own);
    arm(w, &p[1], 130);
    run(base);
    is_int(fired, 2, "a timer may free itself; the cancelled one does not fire");

    fired = 0;
    arm(w, &far, 400000); /* further than one turn of the wheel */
    arm(w, &p[0], 100);
    while (fired == 0 && event_base_loop(base, EVLOOP_ONCE) == 0) {
        sp_clock_update();
    }
    is_int(fired, 1, "a near one fires before a far one");
    ok(sp_timer_armed(&far.t), "the far one waits");
    sp_timer_arm(w, &p[0].t, UINT64_MAX, on_probe, &p[0]);
    ok(sp_timer_armed(&p[0].t), "an absurd delay is never");

    sp_wheel_destroy(w);
    ok(!sp_timer_armed(&far.t), "timers outlive the wheel as disarmed ones");
    sp_wheel_destroy(NULL);
    event_base_free(base);
    return done_testing();
}
