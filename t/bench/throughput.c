#include <errno.h>
#include <stdio.h>

#include "clock.h"
#include "procs.h"
#include "report.h"
#include "scenarios.h"
#include "traffic.h"

/* Where the measured window begins and ends. */
struct mark {
    struct sp_procs_reading server;
    uint64_t                at_ns, own_cpu_ns, deliveries;
};

static void
mark_set(struct mark *m, const struct sp_traffic *t)
{
    sp_procs_read_cpu(t->o->pids, t->o->npids, &m->server);
    m->at_ns = sp_clock_now_ns();
    m->own_cpu_ns = sp_clock_cpu_ns();
    m->deliveries = t->counts.deliveries;
}

/* Publishers send no more from now on. */
static void
publishers_stop(struct sp_traffic *t)
{
    for (unsigned i = 0; i < t->o->publishers; i++) {
        t->publishers[i].limit = t->publishers[i].sent;
    }
}

static bool
publishers_done(const struct sp_traffic *t)
{
    for (unsigned i = 0; i < t->o->publishers; i++) {
        if (t->publishers[i].sent < t->publishers[i].limit && t->publishers[i].client->state == SP_CLIENT_READY) {
            return false;
        }
    }
    return true;
}

/* Send, then wait for the rest to arrive. */
static void
load_run(struct sp_traffic *t, struct mark *from, const volatile sig_atomic_t *stop)
{
    const struct sp_options *o = t->o;
    uint64_t                 start_ns = sp_clock_now_ns();
    uint64_t end_ns = o->count != 0 ? UINT64_MAX : start_ns + (o->warmup_ms + o->duration_ms) * SP_NS_PER_MS;
    bool     warm = o->warmup_ms == 0, sending = true, written_off = false;

    sp_traffic_wake(t);
    while (*stop == 0) {
        bool     more = sp_traffic_pump(t);
        uint64_t now_ns = t->fleet.now_ns, quiet_ns;

        if (!warm && now_ns - start_ns >= o->warmup_ms * SP_NS_PER_MS) {
            mark_set(from, t);
            warm = true;
        }
        if (sending && (now_ns >= end_ns || publishers_done(t))) {
            publishers_stop(t);
            sending = false;
        }
        if (!sending && sp_traffic_complete(t)) {
            break;
        }
        sp_fleet_turn(&t->fleet, more ? 0 : now_ns + 10 * SP_NS_PER_MS);
        quiet_ns = t->fleet.now_ns - t->progress_ns;
        if (quiet_ns < SP_NS_PER_MS) {
            written_off = false;
        } else if (quiet_ns > o->drain_ms * SP_NS_PER_MS) {
            break;
        } else if (sending && !written_off && quiet_ns > o->stall_ms * SP_NS_PER_MS) {
            sp_traffic_write_off(t);
            written_off = true;
        }
    }
}

static bool
result_report(struct sp_traffic *t, const struct mark *from, const struct mark *to, struct sp_report *r)
{
    bool     clean = sp_traffic_report(t, r);
    uint64_t deliveries = to->deliveries - from->deliveries;
    /* The window ends with the last delivery: waiting for what never comes is not part of it. */
    uint64_t end_ns = t->progress_ns > from->at_ns ? t->progress_ns : to->at_ns;
    double   wall_s = (double)(end_ns - from->at_ns) / 1e9;
    double   cpu_us = (double)(to->server.cpu_ns - from->server.cpu_ns) / 1e3;
    double   own_us = (double)(to->own_cpu_ns - from->own_cpu_ns) / 1e3;
    double   rate = wall_s > 0 ? (double)deliveries / wall_s : 0;
    double   each = deliveries > 0 ? (double)deliveries : 1;

    sp_report_int(r, "measured", deliveries);
    sp_report_num(r, "seconds", wall_s);
    sp_report_num(r, "delivered_per_s", rate);
    sp_report_num(r, "generator_us_per_delivery", own_us / each);
    sp_report_num(r, "generator_busy", wall_s > 0 ? own_us / 1e6 / wall_s : 0);
    sp_report_say(r, "; %.0f/s, generator %.2f us", rate, own_us / each);
    if (t->o->npids > 0) {
        sp_report_num(r, "server_us_per_delivery", cpu_us / each);
        sp_report_num(r, "server_busy", wall_s > 0 ? cpu_us / 1e6 / wall_s : 0);
        sp_report_bool(r, "server_cpu_exact", to->server.exact_cpu);
        sp_report_int(r, "server_processes_gone", to->server.gone);
        sp_report_say(r, ", server %.2f us a delivery (busy %.0f %%)", cpu_us / each,
                      wall_s > 0 ? cpu_us / 1e4 / wall_s : 0);
    }
    return clean;
}

int
sp_throughput_run(const struct sp_options *o, const volatile sig_atomic_t *stop)
{
    static struct sp_traffic traffic;
    static struct sp_report  report;
    struct mark              from, to;
    bool                     clean;

    if (sp_traffic_start(&traffic, o, stop) != 0) {
        sp_traffic_free(&traffic);
        return 1;
    }
    mark_set(&from, &traffic);
    load_run(&traffic, &from, stop);
    mark_set(&to, &traffic);
    sp_report_init(&report);
    clean = result_report(&traffic, &from, &to, &report);
    sp_traffic_free(&traffic);
    sp_report_print(&report, o->json);
    return o->strict && !clean ? 4 : 0;
}
