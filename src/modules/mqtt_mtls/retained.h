/*
 * Retained messages for new subscriptions: asked from the keeper after the SUBACK, each judged again when it comes. A message
 * published meanwhile has gone to the subscriber already: the older retained one of that topic is then left out.
 */
#ifndef SP_MQTT_RETAINED_H
#define SP_MQTT_RETAINED_H

#include "modules/mqtt_mtls/session.h"

void sp_mqtt_retained_ask(struct sp_mqtt_session *s, struct sp_str filter, const struct sp_subscribe_options *o);
/* The subscription has gone: what is asked for it is not wanted any more. */
void sp_mqtt_retained_cancel(struct sp_mqtt_session *s, struct sp_str filter);
/* A retained publication on this topic is delivered while queries are under way. */
void sp_mqtt_retained_overtaken(struct sp_mqtt_session *s, struct sp_str topic);
/* The end of the session. */
void sp_mqtt_retained_stop(struct sp_mqtt_session *s);

#endif
