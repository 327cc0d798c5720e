#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/topic.h"
#include "net/router_internal.h"

struct wire_publish { /* SP_BUS_PUBLISH; topic, properties and payload follow */
    uint64_t publisher, received_ms;
    uint32_t expiry_s, payload_bytes, properties_bytes;
    uint16_t topic_bytes;
    uint8_t  qos, flags;
};
enum { WIRE_RETAIN = 1, WIRE_UTF8 = 2 };

static void
deliver_here(struct sp_router *r, struct sp_route *route, struct sp_message *m, struct sp_published *out)
{
    struct sp_delivery d = {.message = m};

    for (unsigned i = 0; i < route->nreceivers; i++) {
        const struct route_receiver *rc = &route->receivers[i];

        /* MQTT 5 3.8.3.1: no-local is about the session that publishes */
        if (rc->no_local && rc->subscriber->id == m->publisher) {
            continue;
        }
        d.qos = m->qos < rc->qos_cap ? m->qos : rc->qos_cap;
        d.retain = m->retain && rc->retain_as_published;
        d.subscription_ids = rc->nids == 0 ? NULL : route->ids + rc->first_id;
        d.nsubscription_ids = rc->nids;
        if (!rc->subscriber->ops->deliver(rc->subscriber, &d) && m->qos > 0 && m->publisher != 0) {
            out->paused |= flow_wait_for(r, rc->subscriber, m->publisher);
        }
        out->receivers++;
    }
}

static void
send_to_workers(struct sp_router *r, struct sp_route *route, const struct sp_message *m, struct sp_published *out)
{
    struct wire_publish w = {
        .publisher = m->publisher,
        .received_ms = m->received_ms,
        .expiry_s = m->expiry_s,
        .payload_bytes = (uint32_t)m->payload.n,
        .properties_bytes = (uint32_t)m->properties.n,
        .topic_bytes = (uint16_t)m->topic.n,
        .qos = m->qos,
        .flags = (uint8_t)((m->retain ? WIRE_RETAIN : 0) | (m->payload_is_utf8 ? WIRE_UTF8 : 0)),
    };
    struct iovec iov[4] = {
        {&w, sizeof(w)},
        {(void *)(uintptr_t)m->topic.p, m->topic.n},
        {(void *)(uintptr_t)m->properties.p, m->properties.n},
        {(void *)(uintptr_t)m->payload.p, m->payload.n},
    };

    for (uint64_t left = route->workers; left != 0; left &= left - 1) {
        unsigned to = (unsigned)__builtin_ctzll(left);
        int      rc = sp_bus_send(r->process->bus, to, SP_BUS_PUBLISH, m->qos == 0 ? SP_BUS_DROPPABLE : 0, iov, 4);

        if (rc < 0) {
            router_count(r, ROUTER_BUS_DROPPED, 1);
            out->lost |= rc == -ENOMEM && m->qos > 0; /* a worker that is down takes its subscriptions along */
            continue;
        }
        router_count(r, ROUTER_BUS_SENT, 1);
        out->workers |= UINT64_C(1) << to;
        if (m->qos > 0 && m->publisher != 0 && !out->paused && sp_bus_congested(r->process->bus, to)) {
            out->paused = flow_wait_for_room(r, m->publisher);
        }
    }
}

void
sp_router_publish(struct sp_router *r, struct sp_route *route, struct sp_message *m, struct sp_published *out)
{
    *out = (struct sp_published){0};
    if (route_refresh(r, route)) {
        deliver_here(r, route, m, out);
        if (route->workers != 0) {
            send_to_workers(r, route, m, out);
        }
    } else {
        out->lost = m->qos > 0;
    }
    m->encoded = NULL;
    if (m->kept != NULL) {
        sp_message_drop(m->kept);
        m->kept = NULL;
    }
}

static void
malformed(unsigned from)
{
    static struct sp_log_limit limit;

    sp_log_limited(&limit, 10, SP_LOG_ALERT, "bus: malformed publication from slot %u ignored", from);
}

static void
on_publish(struct sp_process *p, unsigned from, const void *body, size_t n)
{
    struct sp_router   *r = p->router;
    struct wire_publish w;
    struct sp_message   m = {0};
    struct sp_published done = {0};
    struct sp_route    *route;
    const char         *at = (const char *)body + sizeof(w);

    if (n < sizeof(w)) {
        malformed(from);
        return;
    }
    memcpy(&w, body, sizeof(w));
    if ((uint64_t)w.topic_bytes + w.properties_bytes + w.payload_bytes != n - sizeof(w) || w.qos > 2) {
        malformed(from);
        return;
    }
    m.topic = (struct sp_str){at, w.topic_bytes};
    m.properties = (struct sp_str){at + w.topic_bytes, w.properties_bytes};
    m.payload = (struct sp_str){at + w.topic_bytes + w.properties_bytes, w.payload_bytes};
    m.publisher = w.publisher;
    m.received_ms = w.received_ms;
    m.expiry_s = w.expiry_s;
    m.qos = w.qos;
    m.retain = (w.flags & WIRE_RETAIN) != 0;
    m.payload_is_utf8 = (w.flags & WIRE_UTF8) != 0;
    router_count(r, ROUTER_BUS_RECEIVED, 1);
    if (m.topic.n == 0) {
        return;
    }
    route = sp_router_route(r, m.topic);
    if (route == NULL) {
        return;
    }
    deliver_here(r, route, &m, &done);
    if (m.kept != NULL) {
        sp_message_drop(m.kept);
    }
}

void
publish_handlers(struct sp_router *r)
{
    sp_bus_handle(r->process->bus, SP_BUS_PUBLISH, on_publish);
}
