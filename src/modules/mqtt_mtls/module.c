/* mqtt_mtls: MQTT 3.1.1 and 5.0 for clients known by their certificates. */
#include <errno.h>
#include <stdlib.h>

#include "conf/module.h"
#include "conf/registry.h"
#include "modules/mqtt_mtls/config.h"
#include "modules/mqtt_mtls/session.h"
#include "modules/mqtt_mtls/sys.h"
#include "process/status.h"
#include "store/names.h"
#include "store/retained.h"

#define SHELF_LOOK_MS 1000

/* In the keeper: passes on how much is retained. */
struct keeper_side {
    struct sp_process *process;
    _Atomic int64_t   *counters;
    struct sp_timer    timer;
};

static int
module_index(const struct sp_process *p)
{
    return sp_registry_module_index(p->registry, "mqtt_mtls");
}

static int
init(void)
{
    return sp_protocol_register(&sp_mqtt_protocol);
}

/* ---- keeper ---- */

static void
set(_Atomic int64_t *gauge, uint64_t value)
{
    atomic_store_explicit(gauge, (int64_t)value, memory_order_relaxed);
}

static void
look_at_shelf(struct sp_timer *t, void *arg)
{
    struct keeper_side *k = arg;

    if (k->process->shelf != NULL) {
        set(&k->counters[SP_MQTT_M_RETAINED], sp_shelf_count(k->process->shelf));
        set(&k->counters[SP_MQTT_M_RETAINED_BYTES], sp_shelf_bytes(k->process->shelf));
    }
    sp_timer_arm(k->process->wheel, t, SHELF_LOOK_MS, look_at_shelf, k);
}

static int
start_keeper(struct sp_process *p, int index)
{
    struct keeper_side *k = calloc(1, sizeof(*k));

    if (k == NULL) {
        return -ENOMEM;
    }
    k->process = p;
    k->counters = sp_metrics_mine(p->metrics) + p->metric_base[index];
    p->module[index] = k;
    look_at_shelf(&k->timer, k);
    return 0;
}

/* ---- worker ---- */

static int
start_worker(struct sp_process *p, int index)
{
    struct sp_mqtt_worker *w = calloc(1, sizeof(*w));
    int                    rc;

    if (w == NULL) {
        return -ENOMEM;
    }
    w->process = p;
    w->conf = sp_mqtt_conf(p->snapshot);
    w->counters = sp_metrics_mine(p->metrics) + p->metric_base[index];
    w->refs = 1;
    w->started_ms = sp_clock_ms();
    p->module[index] = w;
    rc = sp_mqtt_sys_start(w);
    if (rc == 0 && p->names == NULL) {
        rc = sp_names_start(p, sp_mqtt_kicked, &p->names);
    }
    return rc;
}

static int
start(struct sp_process *p)
{
    int index = module_index(p);

    return sp_process_is_worker(p) ? start_worker(p, index) : start_keeper(p, index);
}

static void
stop(struct sp_process *p)
{
    int index = module_index(p);

    if (p->module[index] == NULL) {
        return;
    }
    if (sp_process_is_worker(p)) {
        struct sp_mqtt_worker *w = p->module[index];

        sp_mqtt_sys_stop(w);
        sp_mqtt_worker_unref(w); /* sessions are still to be told good-bye */
    } else {
        sp_timer_cancel(&((struct keeper_side *)p->module[index])->timer);
        free(p->module[index]);
    }
    p->module[index] = NULL;
}

static void
commit(struct sp_process *p, struct sp_snapshot *was)
{
    (void)was;
    if (sp_process_is_worker(p)) {
        struct sp_mqtt_worker *w = sp_mqtt_worker(p);

        w->conf = sp_mqtt_conf(p->snapshot);
        sp_mqtt_sys_commit(w);
    }
}

static void
status(struct sp_process *p, struct sp_status *st)
{
    static const struct {
        const char         *key;
        enum sp_mqtt_metric metric;
    } lines[] = {
        {"sessions", SP_MQTT_M_SESSIONS},
        {"subscriptions", SP_MQTT_M_SUBSCRIPTIONS},
        {"queued_messages", SP_MQTT_M_QUEUED},
        {"queued_bytes", SP_MQTT_M_QUEUED_BYTES},
        {"publish_received", SP_MQTT_M_PUBLISH_RECEIVED},
        {"publish_sent", SP_MQTT_M_PUBLISH_SENT},
        {"publish_dropped", SP_MQTT_M_PUBLISH_DROPPED},
        {"publish_denied", SP_MQTT_M_PUBLISH_DENIED},
        {"subscribe_denied", SP_MQTT_M_SUBSCRIBE_DENIED},
        {"rate_limited", SP_MQTT_M_RATE_LIMITED},
        {"stalled", SP_MQTT_M_STALLED},
        {"takeovers", SP_MQTT_M_TAKEOVERS},
    };
    const struct sp_mqtt_worker *w;

    if (!sp_process_is_worker(p)) {
        return;
    }
    w = sp_mqtt_worker(p);
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        sp_status_num(st, lines[i].key, atomic_load_explicit(&w->counters[lines[i].metric], memory_order_relaxed));
    }
}

extern const struct sp_module sp_mqtt_mtls_module;
const struct sp_module        sp_mqtt_mtls_module = {
           .name = "mqtt_mtls",
           .abi = SP_MODULE_ABI,
           .directives = sp_mqtt_directives,
           .ndirectives = SP_MQTT_DIRECTIVES,
           .metrics = sp_mqtt_metrics,
           .nmetrics = SP_MQTT_METRICS,
           .init = init,
           .build = sp_mqtt_config_build,
           .start = start,
           .stop = stop,
           .commit = commit,
           .status = status,
};
