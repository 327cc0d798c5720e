/*
 * The will (MQTT 5 3.1.2.5): kept from CONNECT on, published when the session ends otherwise than by a normal DISCONNECT. Sessions end with
 * their connection, so a will delay is cut to 0 (MQTT 5 3.1.3.2.2). Permission and policy are looked at when it goes out.
 */
#ifndef SP_MQTT_WILL_H
#define SP_MQTT_WILL_H

#include "modules/mqtt_mtls/session.h"

/* Copies. 0 or -ENOMEM. */
int sp_mqtt_will_take(struct sp_mqtt_session *s, const struct sp_mqtt_will *will);
/* Publishes; the session is out of the router already, so its own subscriptions do not count. */
void sp_mqtt_will_publish(struct sp_mqtt_session *s);
void sp_mqtt_will_free(struct sp_mqtt_session *s);

#endif
