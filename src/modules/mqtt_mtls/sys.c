#include "modules/mqtt_mtls/sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/topic.h"
#include "modules/mqtt_mtls/deliver.h"
#include "sp_config.h"

#define PREFIX "$SYS/broker/"

/* What load averages are made of, and over how many minutes. */
enum { NLOADS = 9, NSPANS = 3, VALUE_BYTES = 64 };

struct load {
    const char *name;
    uint8_t     metric;
};

static const struct load loads[NLOADS] = {
    {"messages/received", SP_MQTT_M_MESSAGES_RECEIVED},
    {"messages/sent", SP_MQTT_M_MESSAGES_SENT},
    {"publish/dropped", SP_MQTT_M_PUBLISH_DROPPED},
    {"publish/received", SP_MQTT_M_PUBLISH_RECEIVED},
    {"publish/sent", SP_MQTT_M_PUBLISH_SENT},
    {"bytes/received", SP_MQTT_M_BYTES_RECEIVED},
    {"bytes/sent", SP_MQTT_M_BYTES_SENT},
    {"sockets", SP_MQTT_M_SOCKETS},
    {"connections", SP_MQTT_M_CONNECTS},
};
static const struct {
    const char *name;
    double      minutes;
} spans[NSPANS] = {{"1min", 1}, {"5min", 5}, {"15min", 15}};

enum special { PLAIN, VERSION, UPTIME, NOTHING, MAXIMUM, STORED, STORED_BYTES };

static const struct plain {
    const char  *name;
    enum special special;
    uint8_t      metric;
} plains[] = {
    {"version", VERSION, 0},
    {"uptime", UPTIME, 0},
    {"clients/total", PLAIN, SP_MQTT_M_SESSIONS},
    {"clients/connected", PLAIN, SP_MQTT_M_SESSIONS},
    {"clients/active", PLAIN, SP_MQTT_M_SESSIONS},
    {"clients/disconnected", NOTHING, 0}, /* sessions end with their connection */
    {"clients/inactive", NOTHING, 0},
    {"clients/expired", NOTHING, 0},
    {"clients/maximum", MAXIMUM, SP_MQTT_M_SESSIONS},
    {"messages/received", PLAIN, SP_MQTT_M_MESSAGES_RECEIVED},
    {"messages/sent", PLAIN, SP_MQTT_M_MESSAGES_SENT},
    {"messages/stored", STORED, 0},
    {"store/messages/count", STORED, 0},
    {"store/messages/bytes", STORED_BYTES, 0},
    {"subscriptions/count", PLAIN, SP_MQTT_M_SUBSCRIPTIONS},
    {"shared_subscriptions/count", NOTHING, 0},
    {"retained messages/count", PLAIN, SP_MQTT_M_RETAINED},
    {"publish/messages/dropped", PLAIN, SP_MQTT_M_PUBLISH_DROPPED},
    {"publish/messages/received", PLAIN, SP_MQTT_M_PUBLISH_RECEIVED},
    {"publish/messages/sent", PLAIN, SP_MQTT_M_PUBLISH_SENT},
    {"publish/bytes/received", PLAIN, SP_MQTT_M_PUBLISH_BYTES_RECEIVED},
    {"publish/bytes/sent", PLAIN, SP_MQTT_M_PUBLISH_BYTES_SENT},
    {"bytes/received", PLAIN, SP_MQTT_M_BYTES_RECEIVED},
    {"bytes/sent", PLAIN, SP_MQTT_M_BYTES_SENT},
};

enum { NPLAINS = sizeof(plains) / sizeof(plains[0]), NTOPICS = NPLAINS + NLOADS * NSPANS };

struct sp_mqtt_sys {
    struct sp_timer timer;
    uint64_t        interval_ms, last_ms;
    int64_t         maximum; /* of clients at a time */
    int64_t         before[NLOADS];
    double          average[NLOADS][NSPANS];
    char            sent[NTOPICS][VALUE_BYTES]; /* what subscribers know */
};

/* ---- values ---- */

static int64_t
sum(const struct sp_mqtt_worker *w, unsigned metric)
{
    struct sp_metrics *m = w->process->metrics;

    return sp_metrics_sum(m, (int)(w->counters - sp_metrics_mine(m)) + (int)metric);
}

static int64_t
uptime_s(const struct sp_mqtt_worker *w)
{
    return (int64_t)((sp_clock_ms() - w->started_ms) / 1000);
}

static void
plain_value(struct sp_mqtt_worker *w, const struct plain *t, char *dst)
{
    struct sp_mqtt_sys *y = w->sys;
    int64_t             n = 0;

    switch (t->special) {
    case VERSION:
        (void)snprintf(dst, VALUE_BYTES, "sallyport version %s", SP_VERSION);
        return;
    case UPTIME:
        (void)snprintf(dst, VALUE_BYTES, "%lld seconds", (long long)uptime_s(w));
        return;
    case NOTHING:
        break;
    case MAXIMUM:
        n = sum(w, t->metric);
        y->maximum = n > y->maximum ? n : y->maximum;
        n = y->maximum;
        break;
    case STORED:
        n = sum(w, SP_MQTT_M_RETAINED) + sum(w, SP_MQTT_M_QUEUED);
        break;
    case STORED_BYTES:
        n = sum(w, SP_MQTT_M_RETAINED_BYTES) + sum(w, SP_MQTT_M_QUEUED_BYTES);
        break;
    case PLAIN:
        n = sum(w, t->metric);
        break;
    }
    (void)snprintf(dst, VALUE_BYTES, "%lld", (long long)n);
}

/* Topic i and its value now. */
static struct sp_str
topic_at(struct sp_mqtt_worker *w, unsigned i, char *topic, size_t cap, char *value)
{
    int n;

    if (i < NPLAINS) {
        n = snprintf(topic, cap, PREFIX "%s", plains[i].name);
        plain_value(w, &plains[i], value);
    } else {
        unsigned l = (i - NPLAINS) / NSPANS, span = (i - NPLAINS) % NSPANS;

        n = snprintf(topic, cap, PREFIX "load/%s/%s", loads[l].name, spans[span].name);
        (void)snprintf(value, VALUE_BYTES, "%.2f", w->sys->average[l][span]);
    }
    return (struct sp_str){topic, (size_t)n};
}

/* e to the -x for x >= 0, without libm: the thousandth part or so by its series, then squared. */
static double
decay(double x)
{
    double t = -x / 4096.0, e = 1 + t + t * t / 2 + t * t * t / 6;

    for (unsigned i = 0; i < 12; i++) {
        e *= e;
    }
    return e;
}

/* Exponentially damped averages per minute, as Mosquitto computes them. */
static void
update_loads(struct sp_mqtt_worker *w, uint64_t now)
{
    struct sp_mqtt_sys *y = w->sys;
    double              minutes = (double)(now - y->last_ms) / 60000.0;

    if (now == y->last_ms) {
        return;
    }
    y->last_ms = now;
    for (unsigned l = 0; l < NLOADS; l++) {
        int64_t n = sum(w, loads[l].metric);
        double  per_minute = (double)(n - y->before[l]) / minutes;

        y->before[l] = n;
        for (unsigned i = 0; i < NSPANS; i++) {
            y->average[l][i] = per_minute + decay(minutes / spans[i].minutes) * (y->average[l][i] - per_minute);
        }
    }
}

/* ---- delivery ---- */

static void
give(struct sp_mqtt_session *s, struct sp_str topic, const char *value, const struct sp_subscribe_options *o,
     bool retain)
{
    struct sp_message m = {
        .topic = topic, .payload = sp_str_c(value), .received_ms = sp_clock_ms(), .expiry_s = UINT32_MAX, .qos = 0};
    struct sp_delivery d = {.message = &m, .retain = retain};
    struct sp_subject  who;
    struct sp_decision decision;

    sp_mqtt_subject(s, &who);
    sp_resolver()->decide(s->conn->process->snapshot, &who, SP_SUBSCRIBE, topic, &decision);
    if (!decision.allowed) {
        return;
    }
    if (o->id != 0) {
        d.subscription_ids = &o->id;
        d.nsubscription_ids = 1;
    }
    sp_mqtt_deliver_retained(s, &d);
    if (m.kept != NULL) {
        sp_message_drop(m.kept);
    }
}

static const struct sp_subscription *
subscription_for(const struct sp_mqtt_session *s, struct sp_str topic)
{
    for (const struct sp_subscription *sub = s->subscriber.subscriptions; sub != NULL; sub = sub->next) {
        if (sp_mqtt_is_sys(sub->text) && sp_topic_matches(sub->text, topic)) {
            return sub;
        }
    }
    return NULL;
}

void
sp_mqtt_sys_serve(struct sp_mqtt_session *s, struct sp_str filter, const struct sp_subscribe_options *o)
{
    char topic[96], value[VALUE_BYTES];

    for (unsigned i = 0; i < NTOPICS && s->worker->sys->interval_ms > 0; i++) {
        struct sp_str t = topic_at(s->worker, i, topic, sizeof(topic), value);

        if (sp_topic_matches(filter, t)) {
            give(s, t, value, o, true);
        }
    }
}

static void
publish_changes(struct sp_mqtt_worker *w)
{
    char topic[96], value[VALUE_BYTES];

    for (unsigned i = 0; i < NTOPICS; i++) {
        struct sp_str t = topic_at(w, i, topic, sizeof(topic), value);

        if (strcmp(value, w->sys->sent[i]) == 0) {
            continue;
        }
        memcpy(w->sys->sent[i], value, VALUE_BYTES);
        for (struct sp_mqtt_session *s = w->sys_first; s != NULL; s = s->sys_next) {
            const struct sp_subscription *sub = subscription_for(s, t);

            if (sub != NULL) {
                give(s, t, value, &sub->options, sub->options.retain_as_published);
            }
        }
    }
}

static void
on_interval(struct sp_timer *t, void *arg)
{
    struct sp_mqtt_worker *w = arg;

    update_loads(w, sp_clock_ms());
    publish_changes(w);
    sp_timer_arm(w->process->wheel, t, w->sys->interval_ms, on_interval, w);
}

/* ---- who listens ---- */

void
sp_mqtt_sys_join(struct sp_mqtt_session *s)
{
    struct sp_mqtt_session **first = &s->worker->sys_first;

    if (s->sys_prev != NULL) {
        return;
    }
    s->sys_next = *first;
    if (s->sys_next != NULL) {
        s->sys_next->sys_prev = &s->sys_next;
    }
    s->sys_prev = first;
    *first = s;
}

void
sp_mqtt_sys_leave(struct sp_mqtt_session *s)
{
    if (s->sys_prev == NULL) {
        return;
    }
    *s->sys_prev = s->sys_next;
    if (s->sys_next != NULL) {
        s->sys_next->sys_prev = s->sys_prev;
    }
    s->sys_next = NULL;
    s->sys_prev = NULL;
}

void
sp_mqtt_sys_look(struct sp_mqtt_session *s)
{
    for (const struct sp_subscription *sub = s->subscriber.subscriptions; sub != NULL; sub = sub->next) {
        if (sp_mqtt_is_sys(sub->text)) {
            return;
        }
    }
    sp_mqtt_sys_leave(s);
}

/* ---- life ---- */

void
sp_mqtt_sys_commit(struct sp_mqtt_worker *w)
{
    struct sp_mqtt_sys *y = w->sys;

    if (y->interval_ms == w->conf->sys_interval_ms) {
        return;
    }
    y->interval_ms = w->conf->sys_interval_ms;
    sp_timer_cancel(&y->timer);
    if (y->interval_ms > 0) {
        sp_timer_arm(w->process->wheel, &y->timer, y->interval_ms, on_interval, w);
    }
}

int
sp_mqtt_sys_start(struct sp_mqtt_worker *w)
{
    struct sp_mqtt_sys *y = calloc(1, sizeof(*y));

    if (y == NULL) {
        return -ENOMEM;
    }
    w->sys = y;
    y->last_ms = sp_clock_ms();
    for (unsigned l = 0; l < NLOADS; l++) {
        y->before[l] = sum(w, loads[l].metric);
    }
    sp_mqtt_sys_commit(w);
    return 0;
}

void
sp_mqtt_sys_stop(struct sp_mqtt_worker *w)
{
    if (w->sys != NULL) {
        sp_timer_cancel(&w->sys->timer);
        free(w->sys);
        w->sys = NULL;
    }
}
