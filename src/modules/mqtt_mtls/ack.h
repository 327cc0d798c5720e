/*
 * PUBACKs to publishers. They go out in the order of the publications (MQTT 5 4.6-2), so those behind one that waits for the keeper
 * wait with it.
 */
#ifndef SP_MQTT_ACK_H
#define SP_MQTT_ACK_H

#include "modules/mqtt_mtls/session.h"

struct sp_mqtt_ack_wait {
    struct sp_mqtt_ack_wait *next;
    struct sp_mqtt_session  *session;
    char                    *text; /* reason string, malloc'd, or NULL */
    uint16_t                 packet_id;
    uint8_t                  reason;
    bool                     ready, asked; /* asked: the keeper has it and will call back */
};

/* Acknowledges; `text` may be NULL. */
void sp_mqtt_ack(struct sp_mqtt_session *s, uint16_t packet_id, uint8_t reason, const char *text);
/* Acknowledges when the keeper has stored the message: pass the result as sp_retained_set's arg and sp_mqtt_ack_stored as its
 * callback. NULL when out of memory. */
struct sp_mqtt_ack_wait *sp_mqtt_ack_later(struct sp_mqtt_session *s, uint16_t packet_id, uint8_t reason);
void                     sp_mqtt_ack_stored(void *arg, int err);
void                     sp_mqtt_acks_drop(struct sp_mqtt_session *s);

#endif
