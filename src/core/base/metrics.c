#include "base/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/str.h"

/* This struct is private to each process after the fork; the cells are shared. */
struct sp_metrics {
    _Atomic int64_t            *cells; /* slots * SP_METRICS_MAX: a page each, so that no two writers share a line */
    size_t                      bytes;
    unsigned                    slots, count, mine;
    const struct sp_metric_def *defs[SP_METRICS_MAX];
};

int
sp_metrics_create(struct sp_metrics **out, unsigned slots)
{
    struct sp_metrics *m;
    void              *cells;

    if (slots == 0) {
        return -EINVAL;
    }
    m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return -ENOMEM;
    }
    m->slots = slots;
    if (!sp_size_mul(&m->bytes, slots, SP_METRICS_MAX * sizeof(*m->cells))) {
        goto fail_map;
    }
    cells = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (cells == MAP_FAILED) {
        goto fail_map;
    }
    m->cells = cells;
    *out = m;
    return 0;

fail_map:
    free(m);
    return -ENOMEM;
}

void
sp_metrics_destroy(struct sp_metrics *m)
{
    if (m != NULL) {
        (void)munmap(m->cells, m->bytes);
        free(m);
    }
}

int
sp_metrics_register(struct sp_metrics *m, const struct sp_metric_def *defs, unsigned count)
{
    unsigned base = m->count;

    if (count > SP_METRICS_MAX - m->count) {
        return -ENOSPC;
    }
    for (unsigned i = 0; i < count; i++) {
        m->defs[base + i] = &defs[i];
    }
    m->count += count;
    return (int)base;
}

void
sp_metrics_attach(struct sp_metrics *m, unsigned slot)
{
    if (slot >= m->slots) {
        abort();
    }
    m->mine = slot;
    for (unsigned i = 0; i < m->count; i++) {
        if (m->defs[i]->kind == SP_GAUGE) {
            atomic_store_explicit(sp_metrics_mine(m) + i, 0, memory_order_relaxed);
        }
    }
}

_Atomic int64_t *
sp_metrics_cell(struct sp_metrics *m, unsigned slot, int index)
{
    if (slot >= m->slots || index < 0 || (unsigned)index >= m->count) {
        return NULL;
    }
    return m->cells + (size_t)slot * SP_METRICS_MAX + (unsigned)index;
}

int64_t
sp_metrics_sum(struct sp_metrics *m, int index)
{
    uint64_t sum = 0; /* wraps instead of overflowing */

    for (unsigned slot = 0; slot < m->slots; slot++) {
        _Atomic int64_t *cell = sp_metrics_cell(m, slot, index);

        if (cell != NULL) {
            sum += (uint64_t)atomic_load_explicit(cell, memory_order_relaxed);
        }
    }
    return (int64_t)sum;
}

unsigned
sp_metrics_count(const struct sp_metrics *m)
{
    return m->count;
}

const struct sp_metric_def *
sp_metrics_def(const struct sp_metrics *m, int index)
{
    return index < 0 || (unsigned)index >= m->count ? NULL : m->defs[index];
}

_Atomic int64_t *
sp_metrics_mine(struct sp_metrics *m)
{
    return m->cells + (size_t)m->mine * SP_METRICS_MAX;
}
