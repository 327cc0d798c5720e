/*
 * What an `mqtt` block says, per snapshot, and the policy values that this module declares: max_qos, min_qos, retain, values.
 */
#ifndef SP_MQTT_CONFIG_H
#define SP_MQTT_CONFIG_H

#include "conf/module.h"

/* One `mqtt` block. In the snapshot's arena. */
struct sp_mqtt_settings {
    struct sp_mqtt_settings *next;
    const struct sp_block   *block;
    uint64_t                 connect_timeout_ms, stall_timeout_ms;
    uint32_t                 max_packet_bytes;         /* whole packets, from a client that is connected */
    uint32_t                 max_connect_packet_bytes; /* the first packet */
    uint32_t                 max_keepalive_s;          /* 0: no limit */
    uint32_t                 max_queued, max_queued_bytes;
    uint32_t                 max_subscriptions;
    uint32_t                 max_topic_levels;
    uint16_t                 max_inflight;
    uint16_t                 topic_alias_maximum;
    uint16_t                 max_user_properties;
    bool                     close_on_denied; /* publish_denied close */
    bool                     serve_kept;      /* persistent_sessions clean */
    bool                     empty_id_allowed;
};

/* snapshot->module[index] of this module. */
struct sp_mqtt_conf {
    struct sp_mqtt_settings *settings;        /* in the order of the file; NULL: no mqtt block */
    uint64_t                 sys_interval_ms; /* the shortest of all blocks; 0: off */
    int                      max_qos, min_qos, retain, values, max_payload, rate, durability; /* ids of policy values */
};

#define SP_MQTT_DIRECTIVES 22
extern const struct sp_directive sp_mqtt_directives[SP_MQTT_DIRECTIVES];

/* The module's build(): *data becomes a struct sp_mqtt_conf. 0 or -EINVAL with diagnostics. */
int sp_mqtt_config_build(struct sp_build *b, void **data);

/* This module's part of a snapshot. */
const struct sp_mqtt_conf *sp_mqtt_conf(const struct sp_snapshot *s);
/* The settings of a listener's block; the first block's when there is no such block; NULL when there is none at all. */
const struct sp_mqtt_settings *sp_mqtt_settings_of(const struct sp_mqtt_conf *conf, const struct sp_block *block);

#endif
