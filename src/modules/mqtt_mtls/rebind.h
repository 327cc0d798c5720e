/* A live session under a new configuration: subscriptions (dormant.h) and queued messages that it forbids go, the rest stays. */
#ifndef SP_MQTT_REBIND_H
#define SP_MQTT_REBIND_H

#include "modules/mqtt_mtls/session.h"

/* struct sp_protocol.rebind. */
enum sp_verdict sp_mqtt_rebind(struct sp_conn *c, struct sp_snapshot *was, struct sp_snapshot *now);

#endif
