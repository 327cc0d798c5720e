#include "hist.h"

#include <stddef.h>

#define SUB (UINT64_C(1) << SP_HIST_SUB_BITS)

static size_t
bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < SUB * 2) {
        return (size_t)value;
    }
    shift = 63u - (unsigned)__builtin_clzll(value) - SP_HIST_SUB_BITS;
    return (size_t)((value >> shift) + (uint64_t)shift * SUB);
}

/* The middle of a bucket. */
static double
value_of(size_t index)
{
    uint64_t shift;

    if (index < SUB * 2) {
        return (double)index;
    }
    shift = index / SUB - 1;
    return ((double)(index - shift * SUB) + 0.5) * (double)(UINT64_C(1) << shift);
}

void
sp_hist_add(struct sp_hist *h, uint64_t value_ns)
{
    size_t index = bucket_of(value_ns);

    h->bucket[index < SP_HIST_BUCKETS ? index : SP_HIST_BUCKETS - 1]++;
    h->total++;
    h->sum_ns += value_ns;
    if (value_ns > h->max_ns) {
        h->max_ns = value_ns;
    }
}

double
sp_hist_quantile(const struct sp_hist *h, double fraction)
{
    double   target = fraction * (double)h->total;
    uint64_t below = 0;

    for (size_t i = 0; i < SP_HIST_BUCKETS; i++) {
        below += h->bucket[i];
        if (below > 0 && (double)below >= target) {
            double value = value_of(i);

            return value > (double)h->max_ns ? (double)h->max_ns : value;
        }
    }
    return 0.0;
}
