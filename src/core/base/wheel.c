#include "base/wheel.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "base/clock.h"

#define TICK_MS 64u
#define SLOTS   4096u /* 262 s a turn; what is due later is met again on the next */
#define WORDS   (SLOTS / 64u)

struct sp_wheel {
    struct event     ev;
    uint64_t         tick;      /* every slot up to this one is done */
    uint64_t         scheduled; /* tick that ev is set for; 0: not set */
    bool             running;   /* inside run() */
    struct sp_timer *firing;    /* the slot that is being worked through */
    uint64_t         used[WORDS];
    struct sp_timer *slots[SLOTS];
};

/* The first tick that is not before `ms`. */
static uint64_t
tick_of(uint64_t ms)
{
    return (ms + TICK_MS - 1) / TICK_MS;
}

static void
link_timer(struct sp_timer **head, struct sp_timer *t)
{
    t->next = *head;
    t->prev = head;
    if (t->next != NULL) {
        t->next->prev = &t->next;
    }
    *head = t;
}

static void
unlink_timer(struct sp_timer *t)
{
    *t->prev = t->next;
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
    t->next = NULL;
    t->prev = NULL;
}

static void
put(struct sp_wheel *w, struct sp_timer *t)
{
    uint64_t tick = tick_of(t->due_ms);
    uint64_t slot;

    if (tick <= w->tick) { /* overdue: the next tick to come */
        tick = w->tick + 1;
    }
    slot = tick % SLOTS;
    link_timer(&w->slots[slot], t);
    w->used[slot / 64] |= UINT64_C(1) << slot % 64;
}

static void
schedule(struct sp_wheel *w, uint64_t tick)
{
    uint64_t       now = sp_clock_ms(), due = tick * TICK_MS;
    uint64_t       ms = due > now ? due - now : 0;
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

    w->scheduled = tick;
    (void)evtimer_add(&w->ev, &tv);
}

static uint64_t
next_bit(const struct sp_wheel *w, uint64_t slot)
{
    uint64_t bits = w->used[slot / 64] >> slot % 64;

    if (bits != 0) {
        return slot + (uint64_t)__builtin_ctzll(bits);
    }
    for (uint64_t i = 1; i <= WORDS; i++) {
        uint64_t word = (slot / 64 + i) % WORDS;
        if (w->used[word] != 0) {
            return word * 64 + (uint64_t)__builtin_ctzll(w->used[word]);
        }
    }
    return SLOTS;
}

/* The first tick after w->tick with something in its slot; 0 when all are empty. */
static uint64_t
next_used(struct sp_wheel *w)
{
    uint64_t slot = (w->tick + 1) % SLOTS, at;

    while ((at = next_bit(w, slot)) < SLOTS && w->slots[at] == NULL) { /* what was in it was cancelled */
        w->used[at / 64] &= ~(UINT64_C(1) << at % 64);
    }
    return at == SLOTS ? 0 : w->tick + 1 + (at + SLOTS - slot) % SLOTS;
}

static void
run_slot(struct sp_wheel *w, uint64_t slot, uint64_t upto)
{
    struct sp_timer *t;

    w->firing = w->slots[slot];
    w->slots[slot] = NULL;
    w->used[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    if (w->firing != NULL) {
        w->firing->prev = &w->firing;
    }
    while ((t = w->firing) != NULL) {
        unlink_timer(t);
        if (tick_of(t->due_ms) <= upto) {
            t->fn(t, t->arg);
        } else {
            put(w, t);
        }
    }
}

static void
run(evutil_socket_t fd, short what, void *arg)
{
    struct sp_wheel *w = arg;
    uint64_t         upto, next;

    (void)fd;
    (void)what;
    sp_clock_update();
    upto = sp_clock_ms() / TICK_MS;
    w->scheduled = 0;
    w->running = true;
    if (upto > w->tick + SLOTS) { /* a long sleep: each slot once is enough */
        w->tick = upto - SLOTS;
    }
    while (w->tick < upto) {
        w->tick++;
        run_slot(w, w->tick % SLOTS, upto);
    }
    w->running = false;
    next = next_used(w);
    if (next != 0) {
        schedule(w, next);
    }
}

int
sp_wheel_create(struct event_base *base, struct sp_wheel **out)
{
    struct sp_wheel *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return -ENOMEM;
    }
    if (evtimer_assign(&w->ev, base, run, w) < 0) {
        free(w);
        return -EINVAL;
    }
    w->tick = sp_clock_ms() / TICK_MS;
    *out = w;
    return 0;
}

void
sp_wheel_destroy(struct sp_wheel *w)
{
    if (w == NULL) {
        return;
    }
    (void)evtimer_del(&w->ev);
    for (uint64_t i = 0; i < SLOTS; i++) {
        while (w->slots[i] != NULL) { /* timers outlive the wheel as disarmed ones */
            unlink_timer(w->slots[i]);
        }
    }
    free(w);
}

void
sp_timer_arm(struct sp_wheel *w, struct sp_timer *t, uint64_t delay_ms, void (*fn)(struct sp_timer *, void *),
             void *arg)
{
    uint64_t tick;

    sp_timer_cancel(t);
    t->fn = fn;
    t->arg = arg;
    if (__builtin_add_overflow(sp_clock_ms(), delay_ms, &t->due_ms) || t->due_ms > UINT64_MAX - TICK_MS) {
        t->due_ms = UINT64_MAX - TICK_MS;
    }
    if (w->scheduled == 0 && !w->running &&
        next_used(w) == 0) { /* nothing was armed: no slot in between has anything */
        w->tick = sp_clock_ms() / TICK_MS;
    }
    put(w, t);
    tick = tick_of(t->due_ms);
    tick = tick > w->tick ? tick : w->tick + 1;
    tick = tick - w->tick > SLOTS ? w->tick + 1 + (tick - w->tick - 1) % SLOTS : tick;
    if (!w->running && (w->scheduled == 0 || tick < w->scheduled)) {
        schedule(w, tick);
    }
}

void
sp_timer_cancel(struct sp_timer *t)
{
    if (t->prev != NULL) {
        unlink_timer(t);
    }
}
