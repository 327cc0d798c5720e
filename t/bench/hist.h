/*
 * A histogram of times in nanoseconds with 256 buckets an octave: a value is known to 0.4 percent, up to 2^40 ns (18 min).
 */
#ifndef SP_BENCH_HIST_H
#define SP_BENCH_HIST_H

#include <stdint.h>

#define SP_HIST_SUB_BITS 8
#define SP_HIST_BUCKETS  ((40 - SP_HIST_SUB_BITS + 1) << SP_HIST_SUB_BITS)

struct sp_hist {
    uint64_t total, max_ns, sum_ns;
    uint32_t bucket[SP_HIST_BUCKETS];
};

void sp_hist_add(struct sp_hist *h, uint64_t value_ns);

/* The value below or at which `fraction` of all lie, in nanoseconds; 0 for an empty histogram. */
double sp_hist_quantile(const struct sp_hist *h, double fraction);

#endif
