#include "modules/mqtt_mtls/deliver.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "modules/mqtt_mtls/publish_out.h"
#include "modules/mqtt_mtls/retained.h"

#define QUEUE_FIRST 16u
/* A client that is itself held up (as a publisher) cannot acknowledge: its queue may grow to so many times its limit before those
 * who fill it wait too, or two that flood each other would wait for each other. */
#define PAUSED_FACTOR 8u
/* Retained messages for a new subscription come many at a time, and nobody can be made to wait for them: so much more may wait. */
#define RETAINED_FACTOR 8u
#define STALL_FACTOR    5u
#define LOOK_MS         50u /* how often a full queue is looked at */

static struct sp_mqtt_outbound *
outbound(struct sp_mqtt_session *s)
{
    if (s->outbound == NULL) {
        s->outbound = calloc(1, sizeof(*s->outbound));
        if (s->outbound != NULL) {
            s->outbound->progress_ms = sp_clock_ms();
        }
    }
    return s->outbound;
}

static bool
output_full(const struct sp_mqtt_session *s)
{
    return s->conn->out.bytes > SP_CONN_HIGH_BYTES;
}

/* ---- the queue ---- */

static size_t
queued_bytes(const struct sp_message *m)
{
    return m->payload.n + m->topic.n + m->properties.n;
}

static void
count_queued(const struct sp_mqtt_session *s, int64_t messages, int64_t bytes)
{
    sp_mqtt_count(s->worker, SP_MQTT_M_QUEUED, messages);
    sp_mqtt_count(s->worker, SP_MQTT_M_QUEUED_BYTES, bytes);
}

static struct sp_mqtt_queued *
queue_at(struct sp_mqtt_outbound *o, uint32_t i)
{
    return &o->queue[(o->head + i) & (o->capacity - 1)];
}

static bool
queue_grow(struct sp_mqtt_outbound *o)
{
    uint32_t               capacity = o->capacity == 0 ? QUEUE_FIRST : o->capacity * 2;
    struct sp_mqtt_queued *queue = calloc(capacity, sizeof(*queue));

    if (queue == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < o->count; i++) {
        queue[i] = *queue_at(o, i);
    }
    free(o->queue);
    o->queue = queue;
    o->head = 0;
    o->capacity = capacity;
    return true;
}

static bool
enqueue(struct sp_mqtt_session *s, const struct sp_delivery *d)
{
    struct sp_mqtt_outbound *o = s->outbound;
    struct sp_mqtt_queued    q = {.qos = d->qos, .retain = d->retain};

    if (o->count == o->capacity && !queue_grow(o)) {
        return false;
    }
    if (d->nsubscription_ids > 0) {
        q.ids = malloc(d->nsubscription_ids * sizeof(*q.ids));
        if (q.ids == NULL) {
            return false;
        }
        memcpy(q.ids, d->subscription_ids, d->nsubscription_ids * sizeof(*q.ids));
        q.nids = d->nsubscription_ids;
    }
    q.message = sp_message_keep(d->message);
    if (q.message == NULL) {
        free(q.ids);
        return false;
    }
    o->bytes += queued_bytes(q.message);
    count_queued(s, 1, (int64_t)queued_bytes(q.message));
    o->count++;
    *queue_at(o, o->count - 1) = q;
    return true;
}

/* The item is taken out of the sums; its place is the caller's affair. */
static void
release_queued(struct sp_mqtt_session *s, struct sp_mqtt_queued *q)
{
    size_t n = queued_bytes(q->message);

    s->outbound->bytes -= n;
    count_queued(s, -1, -(int64_t)n);
    sp_message_drop(q->message);
    free(q->ids);
}

static bool
over(const struct sp_mqtt_session *s, unsigned factor)
{
    const struct sp_mqtt_outbound *o = s->outbound;

    return o->count >= (uint64_t)s->settings->max_queued * factor ||
           o->bytes >= (uint64_t)s->settings->max_queued_bytes * factor;
}

/* ---- a client that takes nothing ---- */

static void
on_stall(struct sp_timer *t, void *arg)
{
    struct sp_mqtt_session  *s = arg;
    struct sp_mqtt_outbound *o = s->outbound;
    uint64_t                 progress = o->progress_ms, limit = s->settings->stall_timeout_ms, quiet;

    if (!o->full) {
        return;
    }
    if (s->conn->paused && !over(s, PAUSED_FACTOR)) {
        /* it was full first and is held up since: those who wait for it may be those it waits for */
        o->full = false;
        sp_router_ready(s->conn->process->router, &s->subscriber);
        return;
    }
    if (output_full(s) && s->conn->progress_ms > progress) {
        progress = s->conn->progress_ms;
    }
    if (s->conn->paused) {
        limit *= STALL_FACTOR; /* whoever holds it up is to go first */
    }
    quiet = sp_clock_ms() - progress;
    if (quiet < limit) {
        sp_timer_arm(s->conn->process->wheel, t, LOOK_MS, on_stall, s);
        return;
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_STALLED, 1);
    sp_mqtt_disconnect(s, SP_MQTT_QUOTA_EXCEEDED, "too slow: its queue is full and it takes nothing");
}

/* True: there is room. */
static bool
look_at_limit(struct sp_mqtt_session *s)
{
    struct sp_mqtt_outbound *o = s->outbound;

    if (!over(s, 1) || (s->conn->paused && !over(s, PAUSED_FACTOR))) {
        return true;
    }
    if (!o->full) {
        o->full = true;
        sp_timer_arm(s->conn->process->wheel, &o->stall, LOOK_MS, on_stall, s);
    }
    return false;
}

/* ---- subscriber operations ---- */

static void
drop(const struct sp_mqtt_session *s)
{
    sp_mqtt_count(s->worker, SP_MQTT_M_PUBLISH_DROPPED, 1);
}

static void
out_of_memory(struct sp_mqtt_session *s)
{
    static struct sp_log_limit limit;

    sp_log_limited(&limit, 5, SP_LOG_CRIT, "out of memory for a delivery: its receiver is disconnected");
    sp_conn_close(s->conn, SP_CLOSE_PROTOCOL); /* a QoS 1 message cannot just be left out */
}

static bool
deliver_now(struct sp_mqtt_session *s, const struct sp_delivery *d)
{
    struct sp_mqtt_publication p = {.message = d->message,
                                    .qos = d->qos,
                                    .retain = d->retain,
                                    .ids = d->subscription_ids,
                                    .nids = d->nsubscription_ids,
                                    .share = true};

    if (d->qos > 0) {
        p.packet_id = sp_mqtt_inflight_take(&s->outbound->inflight);
        if (p.packet_id == 0) {
            out_of_memory(s);
            return true;
        }
    }
    switch (sp_mqtt_publish_to(s, &p)) {
    case 0:
        return true;
    case -ENOMEM:
        out_of_memory(s);
        return true;
    default: /* too large for it, or expired: counts as delivered (MQTT 5 3.1.2-25) */
        if (p.packet_id != 0) {
            sp_mqtt_inflight_give(&s->outbound->inflight, p.packet_id);
        }
        drop(s);
        return true;
    }
}

static bool
deliver_qos1(struct sp_mqtt_session *s, const struct sp_delivery *d)
{
    struct sp_mqtt_outbound *o = outbound(s);

    if (o == NULL) {
        out_of_memory(s);
        return true;
    }
    if (o->count == 0 && o->inflight.count < s->window && !output_full(s)) {
        return deliver_now(s, d);
    }
    if (!enqueue(s, d)) {
        out_of_memory(s);
        return true;
    }
    return look_at_limit(s);
}

static bool
deliver(struct sp_subscriber *sub, const struct sp_delivery *d)
{
    struct sp_mqtt_session *s = sp_mqtt_session_of(sub);

    if (s->state != SP_MQTT_OPEN || s->conn->closing) {
        return true;
    }
    if (s->asks != NULL && d->message->retain) {
        sp_mqtt_retained_overtaken(s, d->message->topic);
    }
    if (d->qos > 0) {
        return deliver_qos1(s, d);
    }
    if (s->conn->out.bytes > s->settings->max_queued_bytes) {
        drop(s);
        return true;
    }
    return deliver_now(s, d);
}

void
sp_mqtt_deliver_retained(struct sp_mqtt_session *s, const struct sp_delivery *d)
{
    struct sp_mqtt_outbound *o;

    if (s->state != SP_MQTT_OPEN || s->conn->closing) {
        return;
    }
    o = s->outbound;
    if (d->qos == 0 && !output_full(s) && (o == NULL || o->count == 0)) {
        (void)deliver_now(s, d);
        return;
    }
    o = outbound(s);
    if (o == NULL || o->bytes >= (uint64_t)s->settings->max_queued_bytes * RETAINED_FACTOR) {
        drop(s);
    } else if (d->qos > 0) {
        (void)deliver_qos1(s, d);
    } else if (!enqueue(s, d)) {
        drop(s);
    }
}

static void
subject(const struct sp_subscriber *sub, struct sp_subject *out)
{
    sp_mqtt_subject((const struct sp_mqtt_session *)(const void *)sub, out);
}

static uint8_t
cap(const struct sp_subscriber *sub, const struct sp_policy *policy, uint8_t qos)
{
    const struct sp_mqtt_session *s = (const struct sp_mqtt_session *)(const void *)sub;
    int64_t                       max = sp_policy_num(policy, s->worker->conf->max_qos, 1);

    return (int64_t)qos > max ? (uint8_t)max : qos;
}

const struct sp_subscriber_ops sp_mqtt_subscriber_ops = {.deliver = deliver, .subject = subject, .cap = cap};

/* ---- when there is room ---- */

static bool
send_queued(struct sp_mqtt_session *s, const struct sp_mqtt_queued *q)
{
    const struct sp_delivery d = {.message = q->message,
                                  .qos = q->qos,
                                  .retain = q->retain,
                                  .subscription_ids = q->ids,
                                  .nsubscription_ids = q->nids};

    return deliver_now(s, &d);
}

void
sp_mqtt_pump(struct sp_mqtt_session *s)
{
    struct sp_mqtt_outbound *o = s->outbound;

    if (o == NULL) {
        return;
    }
    o->acked = false;
    while (o->count > 0 && !output_full(s) && !s->conn->closing) {
        struct sp_mqtt_queued q = *queue_at(o, 0);

        if (q.qos > 0 && o->inflight.count >= s->window) {
            break;
        }
        o->head = (o->head + 1) & (o->capacity - 1);
        o->count--;
        (void)send_queued(s, &q);
        release_queued(s, &q);
    }
    if (o->count == 0 && o->capacity > 256) {
        free(o->queue);
        o->queue = NULL;
        o->capacity = o->head = 0;
    }
    if (o->full && o->count <= s->settings->max_queued / 2 && o->bytes <= s->settings->max_queued_bytes / 2) {
        o->full = false;
        sp_timer_cancel(&o->stall);
        sp_router_ready(s->conn->process->router, &s->subscriber);
    }
}

void
sp_mqtt_on_puback(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    struct sp_mqtt_outbound *o = s->outbound;
    struct sp_mqtt_ack       ack;
    struct sp_mqtt_error     err;

    if (sp_mqtt_decode_ack(&s->wire, head, body, &ack, &err) < 0) {
        sp_mqtt_protocol_error(s, &err);
        return;
    }
    /* an unknown identifier is no error of the protocol (MQTT 5 4.3.2): there is nothing to do */
    if (o != NULL && sp_mqtt_inflight_give(&o->inflight, ack.packet_id)) {
        o->acked = o->count > 0 || o->full;
        o->progress_ms = sp_clock_ms();
    }
}

unsigned
sp_mqtt_queue_filter(struct sp_mqtt_session *s,
                     bool (*keep)(struct sp_mqtt_session *, const struct sp_message *, void *), void *arg)
{
    struct sp_mqtt_outbound *o = s->outbound;
    uint32_t                 kept = 0, all;

    if (o == NULL) {
        return 0;
    }
    all = o->count;
    for (uint32_t i = 0; i < all; i++) {
        struct sp_mqtt_queued q = *queue_at(o, i);

        if (keep(s, q.message, arg)) {
            *queue_at(o, kept++) = q;
        } else {
            release_queued(s, &q);
        }
    }
    o->count = kept;
    return all - kept;
}

void
sp_mqtt_outbound_free(struct sp_mqtt_session *s)
{
    struct sp_mqtt_outbound *o = s->outbound;

    if (o == NULL) {
        return;
    }
    while (o->count > 0) {
        release_queued(s, queue_at(o, 0));
        o->head = (o->head + 1) & (o->capacity - 1);
        o->count--;
    }
    sp_timer_cancel(&o->stall);
    sp_mqtt_inflight_free(&o->inflight);
    free(o->queue);
    free(o);
    s->outbound = NULL;
}
