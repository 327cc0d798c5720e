/*
 * To subscribers. A message is encoded once for each form in which it goes out (level, QoS, retain flag) and copied to the other
 * receivers; large payloads are referenced. QoS 0 goes straight to the output, or is dropped and counted when the client is too
 * slow. QoS 1 waits in a queue of references when the client's window or output is full; a queue above its limit makes deliver()
 * return false, so that publishers wait, until half of it is gone; a client that meanwhile takes nothing for stall_timeout is
 * disconnected.
 */
#ifndef SP_MQTT_DELIVER_H
#define SP_MQTT_DELIVER_H

#include "modules/mqtt_mtls/inflight.h"
#include "modules/mqtt_mtls/session.h"

struct sp_mqtt_queued {
    struct sp_message *message; /* a reference */
    uint32_t          *ids;     /* subscription identifiers, malloc'd; NULL: none */
    uint32_t           nids;
    uint8_t            qos;
    bool               retain;
};

struct sp_mqtt_outbound { /* of a client that receives QoS 1, or has had a queue */
    struct sp_mqtt_inflight inflight;
    struct sp_mqtt_queued  *queue; /* a ring */
    uint32_t                head, count, capacity;
    size_t                  bytes;       /* of what is queued */
    bool                    full;        /* deliver() returned false and sp_router_ready is owed */
    bool                    acked;       /* since the last pump */
    uint64_t                progress_ms; /* when it last acknowledged */
    struct sp_timer         stall;
};

extern const struct sp_subscriber_ops sp_mqtt_subscriber_ops;

/* A retained message for a new subscription: queued also with QoS 0, since there are many at a time. */
void sp_mqtt_deliver_retained(struct sp_mqtt_session *s, const struct sp_delivery *d);

/* PUBACK from the client. */
void sp_mqtt_on_puback(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body);

/* Sends what waits, as far as window and output allow; tells the router when there is room again (make it the last thing done). */
void sp_mqtt_pump(struct sp_mqtt_session *s);
static inline void
sp_mqtt_pump_acked(struct sp_mqtt_session *s)
{
    if (s->outbound != NULL && s->outbound->acked) {
        sp_mqtt_pump(s);
    }
}

/* Drops what waits in the queue and does not satisfy `keep`. Returns how many went. */
unsigned sp_mqtt_queue_filter(struct sp_mqtt_session *s,
                              bool (*keep)(struct sp_mqtt_session *s, const struct sp_message *m, void *arg),
                              void *arg);
void     sp_mqtt_outbound_free(struct sp_mqtt_session *s);

#endif
