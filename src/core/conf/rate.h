/*
 * The `rate` policy value: a token bucket. `rate 500/s burst=1000 over=delay;`, `rate 600/m;`, `rate off;`
 */
#ifndef SP_CONF_RATE_H
#define SP_CONF_RATE_H

#include "conf/directive.h"

enum sp_rate_over {
    SP_RATE_DELAY, /* stop reading the peer until there are tokens again */
    SP_RATE_DROP,  /* QoS 0 only; what may not be lost is delayed */
    SP_RATE_DISCONNECT,
};

struct sp_rate {
    bool              off;   /* no limit; the rest is 0 */
    double            per_s; /* tokens that flow in per second; > 0 */
    uint64_t          burst; /* size of the bucket; at least 1; default: what flows in within one second */
    enum sp_rate_over over;
};

/* u.ptr is a const struct sp_rate *, never NULL. Stricter: the lower rate, then the smaller burst; `off` is the loosest. */
extern const struct sp_type sp_type_rate;

static inline const struct sp_rate *
sp_value_rate(const struct sp_value *v)
{
    return v->u.ptr;
}

#endif
