#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "procs.h"
#include "report.h"
#include "scenarios.h"
#include "traffic.h"

struct pace {
    uint64_t start_ns, end_ns;          /* end_ns: UINT64_MAX, until a signal */
    uint64_t issued, late_max_ns, held; /* held: turns in which a message was due and could not be sent */
};

static uint64_t
due_ns(const struct pace *pace, const struct sp_options *o, uint64_t message)
{
    return pace->start_ns + (uint64_t)((double)message * 1e9 / (double)o->rate);
}

/* Send every message that is due, publishers taking turns. */
static void
due_send(struct sp_traffic *t, struct pace *pace)
{
    const struct sp_options *o = t->o;
    uint64_t                 now_ns = sp_clock_now_ns();

    for (;;) {
        uint64_t             at_ns = due_ns(pace, o, pace->issued);
        struct sp_publisher *p = &t->publishers[pace->issued % o->publishers];

        if (at_ns > now_ns || at_ns >= pace->end_ns) {
            return;
        }
        if (p->client->state != SP_CLIENT_READY) {
            pace->issued++; /* its loss is counted with the connections */
            continue;
        }
        if (p->sent >= p->limit) {
            return;
        }
        if (sp_traffic_allowance(t, p) == 0 || sp_client_pending(p->client) > 0) {
            pace->held++;
            return;
        }
        if (now_ns - at_ns > pace->late_max_ns) {
            pace->late_max_ns = now_ns - at_ns;
        }
        if (sp_traffic_send(t, p) != 0) {
            return;
        }
        sp_fleet_flush(&t->fleet, p->client);
        pace->issued++;
    }
}

static bool
all_issued(const struct sp_traffic *t, const struct pace *pace)
{
    const struct sp_options *o = t->o;

    if (o->count != 0 && pace->issued >= o->count * o->publishers) {
        return true;
    }
    return due_ns(pace, o, pace->issued) >= pace->end_ns;
}

static void
stream_run(struct sp_traffic *t, struct pace *pace, const volatile sig_atomic_t *stop)
{
    uint64_t drain_ns = 0;

    while (*stop == 0 && !all_issued(t, pace)) {
        uint64_t next_ns;

        due_send(t, pace);
        next_ns = due_ns(pace, t->o, pace->issued);
        /* Held back: look again soon, an acknowledgement or a writable socket wakes us earlier. */
        if (next_ns <= t->fleet.now_ns) {
            next_ns = sp_clock_now_ns() + SP_NS_PER_MS;
        }
        sp_fleet_turn(&t->fleet, next_ns);
        t->nnext = 0; /* nobody pumps here */
        for (unsigned i = 0; i < t->o->publishers; i++) {
            t->publishers[i].queued = false;
        }
        if (t->fleet.lost == t->fleet.total) {
            return;
        }
    }
    drain_ns = sp_clock_now_ns() + t->o->drain_ms * SP_NS_PER_MS;
    while (!sp_traffic_complete(t) && t->fleet.now_ns < drain_ns && t->fleet.lost < t->fleet.total) {
        sp_fleet_turn(&t->fleet, t->fleet.now_ns + 10 * SP_NS_PER_MS);
    }
}

static bool
result_report(const struct sp_traffic *t, const struct pace *pace, const struct sp_procs_reading *from,
              const struct sp_procs_reading *to, struct sp_report *r)
{
    static const struct {
        const char *name;
        double      fraction;
    } quantiles[] = {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}};
    bool clean = sp_traffic_report(t, r);

    sp_report_int(r, "rate", t->o->rate);
    sp_report_int(r, "measured", t->hist->total);
    sp_report_say(r, "; at %llu/s", (unsigned long long)t->o->rate);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double us = sp_hist_quantile(t->hist, quantiles[i].fraction) / 1e3;

        sp_report_num(r, quantiles[i].name, us);
        sp_report_say(r, " %s %.1f", quantiles[i].name, us);
    }
    sp_report_num(r, "mean_us", t->hist->total > 0 ? (double)t->hist->sum_ns / (double)t->hist->total / 1e3 : 0);
    sp_report_num(r, "max_us", (double)t->hist->max_ns / 1e3);
    sp_report_num(r, "max_gap_ms", (double)t->max_gap_ns / 1e6);
    sp_report_num(r, "late_max_us", (double)pace->late_max_ns / 1e3);
    sp_report_int(r, "held", pace->held);
    sp_report_say(r, " max %.1f; largest gap %.2f ms", (double)t->hist->max_ns / 1e3, (double)t->max_gap_ns / 1e6);
    if (t->o->npids > 0 && t->counts.deliveries > 0) {
        double us = (double)(to->cpu_ns - from->cpu_ns) / 1e3 / (double)t->counts.deliveries;

        sp_report_num(r, "server_us_per_delivery", us);
        sp_report_say(r, ", server %.2f us a delivery", us);
    }
    return clean;
}

int
sp_paced_run(const struct sp_options *o, const volatile sig_atomic_t *stop)
{
    static struct sp_traffic traffic;
    static struct sp_report  report;
    static struct sp_hist    hist;
    struct sp_procs_reading  from, to;
    struct pace              pace = {.end_ns = UINT64_MAX};
    bool                     clean;

    if (sp_traffic_start(&traffic, o, stop) != 0) {
        sp_traffic_free(&traffic);
        return 1;
    }
    traffic.hist = &hist;
    sp_procs_read_cpu(o->pids, o->npids, &from);
    pace.start_ns = sp_clock_now_ns() + SP_NS_PER_MS;
    traffic.measure_from_ns = pace.start_ns + o->warmup_ms * SP_NS_PER_MS;
    if (o->duration_ms != 0) {
        pace.end_ns = traffic.measure_from_ns + o->duration_ms * SP_NS_PER_MS;
    }
    if (o->scenario == SP_STEADY && o->json) {
        printf("{\"event\": \"ready\"}\n");
        fflush(stdout);
    }
    stream_run(&traffic, &pace, stop);
    sp_procs_read_cpu(o->pids, o->npids, &to);
    sp_report_init(&report);
    clean = result_report(&traffic, &pace, &from, &to, &report);
    sp_traffic_free(&traffic);
    sp_report_print(&report, o->json);
    return o->strict && !clean ? 4 : 0;
}
