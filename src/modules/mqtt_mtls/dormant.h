/*
 * Subscriptions that a reload has ended: they are out of the router and deliver nothing, but the client was never told (MQTT has no
 * word for it) and still counts on them. So they are remembered, and come back when a later configuration allows them again.
 */
#ifndef SP_MQTT_DORMANT_H
#define SP_MQTT_DORMANT_H

#include "modules/mqtt_mtls/session.h"

struct sp_mqtt_dormant {
    struct sp_mqtt_dormant     *next;
    struct sp_subscribe_options options;
    size_t                      n;
    char                        filter[];
};

/* Takes the subscription out of the router. Out of memory: it is not remembered. */
void sp_mqtt_dormant_put(struct sp_mqtt_session *s, const struct sp_subscription *sub);
/* Brings back what `now` grants to `who`. */
void sp_mqtt_dormant_revive(struct sp_mqtt_session *s, struct sp_snapshot *now, const struct sp_subject *who);
/* The client has said something new about this filter, or unsubscribes: was there one? */
bool sp_mqtt_dormant_forget(struct sp_mqtt_session *s, struct sp_str filter);
void sp_mqtt_dormant_free(struct sp_mqtt_session *s);

#endif
