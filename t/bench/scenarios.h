/*
 * What spload can do. Each runs to its end or until *stop is set, prints its result on stdout and returns an exit code:
 * 0 done, 1 could not run, 4 ran but --strict found something wrong.
 */
#ifndef SP_BENCH_SCENARIOS_H
#define SP_BENCH_SCENARIOS_H

#include <signal.h>

#include "options.h"

/* As much as the credit allows; CPU time of the server over the deliveries. */
int sp_throughput_run(const struct sp_options *o, const volatile sig_atomic_t *stop);

/* latency and steady: so many messages a second; quantiles of the delivery time, the largest gap between deliveries. */
int sp_paced_run(const struct sp_options *o, const volatile sig_atomic_t *stop);

/* Connect, hold, tell the server's memory for each connection. */
int sp_idle_run(const struct sp_options *o, const volatile sig_atomic_t *stop);

/* Connect and leave; the server's CPU time for each connection. */
int sp_handshake_run(const struct sp_options *o, const volatile sig_atomic_t *stop);

#endif
