/*
 * Reason codes of MQTT 5 (section 2.4) and their equivalents in MQTT 3.1.1. Inside the gateway every verdict is an MQTT
 * 5 reason code; the encoder translates for older clients.
 */
#ifndef SP_MQTT_REASON_H
#define SP_MQTT_REASON_H

#include <stdbool.h>
#include <stdint.h>

#include "modules/mqtt_mtls/packet.h"

enum sp_mqtt_reason {
    SP_MQTT_OK = 0x00, /* success, normal disconnection, granted QoS 0 */
    SP_MQTT_GRANTED_QOS_1 = 0x01,
    SP_MQTT_GRANTED_QOS_2 = 0x02,
    SP_MQTT_DISCONNECT_WITH_WILL = 0x04,
    SP_MQTT_NO_MATCHING_SUBSCRIBERS = 0x10,
    SP_MQTT_NO_SUBSCRIPTION_EXISTED = 0x11,
    SP_MQTT_CONTINUE_AUTHENTICATION = 0x18,
    SP_MQTT_RE_AUTHENTICATE = 0x19,
    SP_MQTT_UNSPECIFIED_ERROR = 0x80,
    SP_MQTT_MALFORMED_PACKET = 0x81,
    SP_MQTT_PROTOCOL_ERROR = 0x82,
    SP_MQTT_IMPLEMENTATION_ERROR = 0x83,
    SP_MQTT_UNSUPPORTED_VERSION = 0x84,
    SP_MQTT_CLIENT_ID_NOT_VALID = 0x85,
    SP_MQTT_BAD_USER_OR_PASSWORD = 0x86,
    SP_MQTT_NOT_AUTHORIZED = 0x87,
    SP_MQTT_SERVER_UNAVAILABLE = 0x88,
    SP_MQTT_SERVER_BUSY = 0x89,
    SP_MQTT_BANNED = 0x8A,
    SP_MQTT_SERVER_SHUTTING_DOWN = 0x8B,
    SP_MQTT_BAD_AUTHENTICATION_METHOD = 0x8C,
    SP_MQTT_KEEP_ALIVE_TIMEOUT = 0x8D,
    SP_MQTT_SESSION_TAKEN_OVER = 0x8E,
    SP_MQTT_TOPIC_FILTER_INVALID = 0x8F,
    SP_MQTT_TOPIC_NAME_INVALID = 0x90,
    SP_MQTT_PACKET_ID_IN_USE = 0x91,
    SP_MQTT_PACKET_ID_NOT_FOUND = 0x92,
    SP_MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    SP_MQTT_TOPIC_ALIAS_INVALID = 0x94,
    SP_MQTT_PACKET_TOO_LARGE = 0x95,
    SP_MQTT_MESSAGE_RATE_TOO_HIGH = 0x96,
    SP_MQTT_QUOTA_EXCEEDED = 0x97,
    SP_MQTT_ADMINISTRATIVE_ACTION = 0x98,
    SP_MQTT_PAYLOAD_FORMAT_INVALID = 0x99,
    SP_MQTT_RETAIN_NOT_SUPPORTED = 0x9A,
    SP_MQTT_QOS_NOT_SUPPORTED = 0x9B,
    SP_MQTT_USE_ANOTHER_SERVER = 0x9C,
    SP_MQTT_SERVER_MOVED = 0x9D,
    SP_MQTT_SHARED_NOT_SUPPORTED = 0x9E,
    SP_MQTT_CONNECTION_RATE_EXCEEDED = 0x9F,
    SP_MQTT_MAXIMUM_CONNECT_TIME = 0xA0,
    SP_MQTT_SUBID_NOT_SUPPORTED = 0xA1,
    SP_MQTT_WILDCARD_NOT_SUPPORTED = 0xA2
};

/* The name in lower case ("not authorized"; 0x00 is "success"); "unknown reason" for a code that MQTT 5 does not
 * define. Never NULL. */
const char *sp_mqtt_reason_name(uint8_t reason);

/* May `reason` stand in a packet of this type sent by this role (tables 3.2.2.2, 3.4.2.1 .. 3.15.2.1)? Types without a
 * reason code: false. */
bool sp_mqtt_reason_allowed(uint8_t reason, enum sp_mqtt_type type, enum sp_mqtt_role sender);

/* CONNACK return code of MQTT 3.1.1 (table 3.1: 0..5) for a reason code. What has no equivalent becomes 3 (server
 * unavailable) when waiting may help, 5 (not authorized) otherwise. */
uint8_t sp_mqtt_reason_to_v3(uint8_t reason);

/* The other way, for bridges: return code of a 3.1.1 CONNACK to a reason code; 0x80 for a code that 3.1.1 reserves. */
uint8_t sp_mqtt_reason_from_v3(uint8_t code);

#endif
