#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fleet.h"
#include "procs.h"
#include "report.h"
#include "scenarios.h"

struct crowd {
    const struct sp_options *o;
    struct sp_fleet          fleet;
    uint64_t                 messages;
    unsigned                 run;
};

static void
client_plan(void *ctx, unsigned index, struct sp_fleet_plan *plan)
{
    const struct crowd *crowd = ctx;
    const char         *filter = crowd->o->subscribe;
    const char         *mark = filter == NULL ? NULL : strstr(filter, "%d");

    snprintf(plan->client_id, sizeof plan->client_id, "%.64s-%x-c%u", crowd->o->client_prefix, crowd->run, index);
    plan->qos = crowd->o->qos;
    if (mark != NULL) {
        snprintf(plan->filter, sizeof plan->filter, "%.*s%u%s", (int)(mark - filter), filter, index, mark + 2);
    } else if (filter != NULL) {
        snprintf(plan->filter, sizeof plan->filter, "%s", filter);
    }
}

static void
on_ready_leave(void *ctx, struct sp_client *c)
{
    struct crowd *crowd = ctx;

    sp_fleet_finish(&crowd->fleet, c);
}

static void
on_publish(void *ctx, struct sp_client *c, const struct sp_publish *message)
{
    struct crowd *crowd = ctx;
    uint8_t      *p;

    crowd->messages++;
    if (message->qos > 0 && (p = sp_client_room(c, 4)) != NULL) {
        p[0] = SP_PUBACK << 4;
        p[1] = 2;
        sp_wire_put16(p + 2, message->id);
        sp_client_wrote(c, 4);
    }
}

static const struct sp_fleet_calls idle_calls = {.plan = client_plan, .publish = on_publish};
static const struct sp_fleet_calls handshake_calls = {.plan = client_plan, .ready = on_ready_leave};

/* Serve the clients for a while; UINT64_MAX: until a signal. */
static void
hold(struct sp_fleet *f, uint64_t hold_ms, const volatile sig_atomic_t *stop)
{
    uint64_t end_ns = hold_ms == UINT64_MAX ? UINT64_MAX : sp_clock_now_ns() + hold_ms * SP_NS_PER_MS;

    f->now_ns = sp_clock_now_ns();
    while (*stop == 0 && f->now_ns < end_ns) {
        uint64_t next_ns = f->now_ns + 100 * SP_NS_PER_MS;

        sp_fleet_turn(f, next_ns < end_ns ? next_ns : end_ns);
    }
}

static void
crowd_report(const struct crowd *crowd, struct sp_report *r, double connect_s)
{
    const struct sp_options *o = crowd->o;

    sp_report_str(r, "scenario", sp_options_scenario(o));
    sp_report_str(r, "label", o->label != NULL ? o->label : "");
    sp_report_bool(r, "tls", o->tls);
    sp_report_int(r, "connections", crowd->fleet.ready);
    sp_report_num(r, "connect_seconds", connect_s);
    sp_report_num(r, "connections_per_s", connect_s > 0 ? crowd->fleet.ready / connect_s : 0);
    sp_report_say(r, "%s %u connections%s in %.2f s", sp_options_scenario(o), crowd->fleet.ready,
                  o->tls ? " (tls)" : "", connect_s);
}

static double
per(double value, unsigned n)
{
    return n > 0 ? value / n : 0;
}

static void
memory_report(struct sp_report *r, const struct sp_procs_reading *from, const struct sp_procs_reading *to, unsigned n)
{
    double memory = per((double)to->memory_bytes - (double)from->memory_bytes, n);
    double pss = per((double)to->pss_bytes - (double)from->pss_bytes, n);
    double own = per((double)to->private_bytes - (double)from->private_bytes, n);

    sp_report_num(r, "server_memory_bytes_per_connection", memory);
    sp_report_num(r, "server_pss_bytes_per_connection", pss);
    sp_report_num(r, "server_private_bytes_per_connection", own);
    sp_report_int(r, "server_pss_before", from->pss_bytes);
    sp_report_int(r, "server_pss_after", to->pss_bytes);
    sp_report_num(r, "server_us_per_connection", per((double)(to->cpu_ns - from->cpu_ns) / 1e3, n));
    sp_report_int(r, "server_processes_gone", to->gone);
    sp_report_say(r, "; server %.0f bytes a connection (all Pss %.0f, private %.0f)", memory, pss, own);
}

static int
gather_or_say(struct crowd *crowd)
{
    int rc = sp_fleet_gather(&crowd->fleet);

    if (rc != 0) {
        fprintf(stderr, "spload: not connected: %s\n", rc == -EINTR ? "interrupted" : crowd->fleet.error);
    }
    return rc;
}

int
sp_idle_run(const struct sp_options *o, const volatile sig_atomic_t *stop)
{
    static struct crowd     crowd;
    static struct sp_report report;
    struct sp_procs_reading from, to;
    uint64_t                start_ns;
    int                     code = 1;

    crowd.o = o;
    crowd.run = (unsigned)getpid();
    if (sp_fleet_init(&crowd.fleet, o, o->connections, &idle_calls, &crowd, stop) != 0) {
        goto end;
    }
    sp_procs_read(o->pids, o->npids, &from);
    start_ns = sp_clock_now_ns();
    if (gather_or_say(&crowd) != 0) {
        goto end;
    }
    sp_report_init(&report);
    crowd_report(&crowd, &report, (double)(crowd.fleet.now_ns - start_ns) / 1e9);
    hold(&crowd.fleet, o->settle_ms, stop);
    if (o->npids > 0) {
        sp_procs_read(o->pids, o->npids, &to);
        memory_report(&report, &from, &to, crowd.fleet.ready);
    }
    if (o->json) {
        printf("{\"event\": \"ready\"}\n");
        fflush(stdout);
    }
    hold(&crowd.fleet, o->duration_ms == 0 ? UINT64_MAX : o->duration_ms, stop);
    sp_report_int(&report, "connections_lost", crowd.fleet.lost);
    sp_report_int(&report, "messages", crowd.messages);
    sp_report_str(&report, "error", crowd.fleet.error);
    sp_report_say(&report, "; lost %u%s%s", crowd.fleet.lost, crowd.fleet.lost > 0 ? ": " : "", crowd.fleet.error);
    sp_report_print(&report, o->json);
    code = o->strict && crowd.fleet.lost > 0 ? 4 : 0;

end:
    sp_fleet_free(&crowd.fleet);
    return code;
}

int
sp_handshake_run(const struct sp_options *o, const volatile sig_atomic_t *stop)
{
    static struct crowd     crowd;
    static struct sp_report report;
    struct sp_procs_reading from, to;
    uint64_t                start_ns, own_ns;
    double                  us;
    int                     code = 1;

    crowd.o = o;
    crowd.run = (unsigned)getpid();
    if (sp_fleet_init(&crowd.fleet, o, o->connections, &handshake_calls, &crowd, stop) != 0) {
        goto end;
    }
    sp_procs_read_cpu(o->pids, o->npids, &from);
    start_ns = sp_clock_now_ns();
    own_ns = sp_clock_cpu_ns();
    if (gather_or_say(&crowd) != 0) {
        goto end;
    }
    sp_procs_read_cpu(o->pids, o->npids, &to);
    own_ns = sp_clock_cpu_ns() - own_ns;
    sp_report_init(&report);
    crowd_report(&crowd, &report, (double)(crowd.fleet.now_ns - start_ns) / 1e9);
    us = per((double)(to.cpu_ns - from.cpu_ns) / 1e3, crowd.fleet.ready);
    sp_report_num(&report, "generator_us_per_connection", per((double)own_ns / 1e3, crowd.fleet.ready));
    if (o->npids > 0) {
        sp_report_num(&report, "server_us_per_connection", us);
        sp_report_num(&report, "connections_per_cpu_second", us > 0 ? 1e6 / us : 0);
        sp_report_say(&report, "; server %.1f us each, %.0f a CPU second", us, us > 0 ? 1e6 / us : 0);
    }
    sp_report_print(&report, o->json);
    code = 0;

end:
    sp_fleet_free(&crowd.fleet);
    return code;
}
