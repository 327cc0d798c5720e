/*
 * $SYS topics, named as Mosquitto names them. Every worker serves its own clients from the shared counters; nothing is routed.
 * A new subscriber gets all values at once (as retained messages), then those that change, every sys_interval.
 */
#ifndef SP_MQTT_SYS_H
#define SP_MQTT_SYS_H

#include "modules/mqtt_mtls/session.h"

int  sp_mqtt_sys_start(struct sp_mqtt_worker *w);
void sp_mqtt_sys_stop(struct sp_mqtt_worker *w);
/* A new sys_interval. */
void sp_mqtt_sys_commit(struct sp_mqtt_worker *w);

/* Does the filter lie below $SYS/? (Wildcards at the start never match `$`.) */
static inline bool
sp_mqtt_is_sys(struct sp_str filter)
{
    return sp_str_prefix(filter, SP_STR("$SYS/"));
}

/* The session has a subscription below $SYS/; has perhaps none any more; is gone. */
void sp_mqtt_sys_join(struct sp_mqtt_session *s);
void sp_mqtt_sys_look(struct sp_mqtt_session *s);
void sp_mqtt_sys_leave(struct sp_mqtt_session *s);

/* All values that the filter matches, as retained messages. */
void sp_mqtt_sys_serve(struct sp_mqtt_session *s, struct sp_str filter, const struct sp_subscribe_options *o);

#endif
