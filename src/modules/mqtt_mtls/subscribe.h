/*
 * SUBSCRIBE and UNSUBSCRIBE. The SUBACK waits until every worker has heard of the new filters; meanwhile the connection is held.
 * Then retained messages are asked for ($SYS topics: served here).
 */
#ifndef SP_MQTT_SUBSCRIBE_H
#define SP_MQTT_SUBSCRIBE_H

#include "modules/mqtt_mtls/session.h"

void sp_mqtt_on_subscribe(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body);
void sp_mqtt_on_unsubscribe(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body);
/* A SUBACK that waits will not wait any longer: its subscriptions may have gone (reload). */
void sp_mqtt_suback_hurry(struct sp_mqtt_session *s);
void sp_mqtt_suback_drop(struct sp_mqtt_session *s);

#endif
