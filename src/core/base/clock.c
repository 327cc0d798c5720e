#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

/* Atomic (relaxed, so free of cost) because a helper thread may read what the loop updates. */
static _Atomic uint64_t cached_ms, cached_wall_ms;

static uint64_t
read_ns(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts); /* cannot fail for these clocks */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
sp_clock_update(void)
{
    atomic_store_explicit(&cached_ms, read_ns(CLOCK_MONOTONIC) / 1000000u, memory_order_relaxed);
    atomic_store_explicit(&cached_wall_ms, read_ns(CLOCK_REALTIME) / 1000000u, memory_order_relaxed);
}

static uint64_t
cached(_Atomic uint64_t *value)
{
    uint64_t ms = atomic_load_explicit(value, memory_order_relaxed);

    if (ms == 0) { /* nobody has updated it yet */
        sp_clock_update();
        ms = atomic_load_explicit(value, memory_order_relaxed);
    }
    return ms;
}

uint64_t
sp_clock_ms(void)
{
    return cached(&cached_ms);
}

uint64_t
sp_clock_wall_ms(void)
{
    return cached(&cached_wall_ms);
}

uint64_t
sp_clock_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

const char *
sp_clock_rfc3339(char *dst, uint64_t wall_ms)
{
    time_t    seconds = (time_t)(wall_ms / 1000u);
    unsigned  ms = (unsigned)(wall_ms % 1000u);
    struct tm tm;
    size_t    n;

    (void)gmtime_r(&seconds, &tm); /* 2^64 ms is the year 584,556,019: no overflow, and 24 + 5 bytes at most */
    n = strftime(dst, 27, "%Y-%m-%dT%H:%M:%S", &tm);
    dst[n] = '.';
    dst[n + 1] = (char)('0' + ms / 100);
    dst[n + 2] = (char)('0' + ms / 10 % 10);
    dst[n + 3] = (char)('0' + ms % 10);
    dst[n + 4] = 'Z';
    dst[n + 5] = '\0';
    return dst;
}
