/* The counters of this module, and how they are read for $SYS. */
#ifndef SP_MQTT_METRICS_H
#define SP_MQTT_METRICS_H

#include "base/metrics.h"

enum sp_mqtt_metric {
    SP_MQTT_M_SESSIONS,       /* gauge: connected clients */
    SP_MQTT_M_SUBSCRIPTIONS,  /* gauge */
    SP_MQTT_M_QUEUED,         /* gauge: messages that wait for slow clients */
    SP_MQTT_M_QUEUED_BYTES,   /* gauge */
    SP_MQTT_M_RETAINED,       /* gauge, the keeper's */
    SP_MQTT_M_RETAINED_BYTES, /* gauge, the keeper's */
    SP_MQTT_M_CONNECTS,
    SP_MQTT_M_SOCKETS,
    SP_MQTT_M_REFUSED,           /* CONNECTs */
    SP_MQTT_M_MESSAGES_RECEIVED, /* packets of any type */
    SP_MQTT_M_MESSAGES_SENT,
    SP_MQTT_M_BYTES_RECEIVED,
    SP_MQTT_M_BYTES_SENT,
    SP_MQTT_M_PUBLISH_RECEIVED,
    SP_MQTT_M_PUBLISH_SENT,
    SP_MQTT_M_PUBLISH_DROPPED,        /* to slow clients, expired or too large for the receiver */
    SP_MQTT_M_PUBLISH_BYTES_RECEIVED, /* payloads */
    SP_MQTT_M_PUBLISH_BYTES_SENT,
    SP_MQTT_M_PUBLISH_DENIED,
    SP_MQTT_M_SUBSCRIBE_DENIED,
    SP_MQTT_M_RATE_LIMITED,
    SP_MQTT_M_STALLED, /* slow clients disconnected */
    SP_MQTT_M_TAKEOVERS,
    SP_MQTT_M_TRIMMED, /* subscriptions ended by a reload */
    SP_MQTT_M_WILLS,
    SP_MQTT_M_PROTOCOL_ERRORS,
    SP_MQTT_METRICS
};

extern const struct sp_metric_def sp_mqtt_metrics[SP_MQTT_METRICS];

#endif
