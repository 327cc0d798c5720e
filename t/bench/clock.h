/* Time for the load generator: one clock for pacing, stamps and waiting. */
#ifndef SP_BENCH_CLOCK_H
#define SP_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SP_NS_PER_US UINT64_C(1000)
#define SP_NS_PER_MS UINT64_C(1000000)
#define SP_NS_PER_S  UINT64_C(1000000000)

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t
sp_clock_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * SP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* CPU time of this process in nanoseconds. */
static inline uint64_t
sp_clock_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * SP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif
