/* Lines of the access log: a session's begin and end, refused connections, what the policy denied. */
#ifndef SP_MQTT_ACCESS_H
#define SP_MQTT_ACCESS_H

#include "modules/mqtt_mtls/session.h"

/* event: "connect", "disconnect" (with what went through and how long it was there) or "refused"; reason may be NULL. */
void sp_mqtt_access(const struct sp_mqtt_session *s, const char *event, const char *reason);
/* "denied". action: "publish" or "subscribe"; qos -1: none; where: "file:line", empty: none. */
void sp_mqtt_access_denied(const struct sp_mqtt_session *s, const char *action, const struct sp_policy *policy,
                           struct sp_str topic, int qos, const char *reason, struct sp_str where);

#endif
