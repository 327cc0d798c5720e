/*
 * Timers for many connections: a hashed timing wheel of 64 ms ticks, O(1) to arm and cancel, 40 bytes a timer, intrusive.
 * One libevent timer drives it while anything is armed. A timer never fires early; at most one tick late.
 */
#ifndef SP_BASE_WHEEL_H
#define SP_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct sp_wheel;

struct sp_timer { /* zeroed = not armed */
    struct sp_timer *next, **prev;
    uint64_t         due_ms; /* sp_clock_ms() time */
    void (*fn)(struct sp_timer *t, void *arg);
    void *arg;
};

int  sp_wheel_create(struct event_base *base, struct sp_wheel **out);
void sp_wheel_destroy(struct sp_wheel *w);
/* (Re)arms: fn(t, arg) after `delay_ms`. The timer is disarmed before fn runs; fn may re-arm it or free it. */
void sp_timer_arm(struct sp_wheel *w, struct sp_timer *t, uint64_t delay_ms, void (*fn)(struct sp_timer *, void *),
                  void *arg);
void sp_timer_cancel(struct sp_timer *t);
static inline bool
sp_timer_armed(const struct sp_timer *t)
{
    return t->prev != 0;
}

#endif
