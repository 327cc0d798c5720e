/* Packets from a client: the frame loop, and CONNECT (connect.c). */
#ifndef SP_MQTT_INPUT_H
#define SP_MQTT_INPUT_H

#include "modules/mqtt_mtls/session.h"

/* struct sp_protocol.input: takes every whole packet in the buffer, until the connection is paused or closes. Size limits are
 * decided from the fixed header. */
ssize_t sp_mqtt_input(struct sp_conn *c, const char *bytes, size_t n);

/* -- connect.c -- */

/* The first packet. Answers at once when it refuses; else claims the client id and holds the connection until it has it. */
void sp_mqtt_connect(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body);
/* CONNACK with this reason; `text` may be NULL. The caller closes. */
void sp_mqtt_connect_refuse(struct sp_mqtt_session *s, uint8_t reason, const char *text);
/* A packet that could not be framed, before the connection stands. Closes. */
void sp_mqtt_connect_bad(struct sp_mqtt_session *s, const struct sp_mqtt_error *err);
/* The deadline for CONNECT, or for the claim of its client id, has passed. Closes. */
void sp_mqtt_connect_late(struct sp_mqtt_session *s);

#endif
