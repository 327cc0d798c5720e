/*
 * Counters in shared memory: one slab per process slot, written by that process alone with relaxed stores and readable by
 * all at any time. A metric is declared once (a static table per module) and gets its index at start, before the fork,
 * the same in every process. A slab outlives its process, so counters go on after a respawn; gauges are reset by the new one.
 */
#ifndef SP_BASE_METRICS_H
#define SP_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

enum sp_metric_kind { SP_COUNTER, SP_GAUGE };

struct sp_metric_def {
    const char         *name; /* Prometheus style: sallyport_mqtt_publish_received_total */
    const char         *help;
    enum sp_metric_kind kind;
};

#define SP_METRICS_MAX 512 /* per slab */

struct sp_metrics;

/* Called in the master before any fork: slots = workers + keeper + master. MAP_SHARED|MAP_ANONYMOUS. */
int  sp_metrics_create(struct sp_metrics **out, unsigned slots);
void sp_metrics_destroy(struct sp_metrics *m);
/* Registers a table; returns the index of its first metric (the rest follow) or -ENOSPC. */
int sp_metrics_register(struct sp_metrics *m, const struct sp_metric_def *defs, unsigned count);
/* Selects this process's slab; zeroes its gauges. */
void sp_metrics_attach(struct sp_metrics *m, unsigned slot);

_Atomic int64_t            *sp_metrics_cell(struct sp_metrics *m, unsigned slot, int index);
int64_t                     sp_metrics_sum(struct sp_metrics *m, int index); /* over all slots */
unsigned                    sp_metrics_count(const struct sp_metrics *m);
const struct sp_metric_def *sp_metrics_def(const struct sp_metrics *m, int index);

/* The attached slab's first cell: hot paths keep `_Atomic int64_t *c = sp_metrics_mine(m) + base` and call these. */
_Atomic int64_t *sp_metrics_mine(struct sp_metrics *m);

static inline void
sp_metric_add(_Atomic int64_t *cell, int64_t by)
{
    /* single writer: a plain load and store, no lock prefix */
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + by, memory_order_relaxed);
}

#endif
