/*
 * An MQTT session: the state of one connected client, from the end of the TLS handshake to the close of the connection. (Sessions
 * that outlive their connection are not in this version.) What most clients never need (publishing, receiving with QoS 1)
 * is allocated when it is first needed, so an idle session is small.
 */
#ifndef SP_MQTT_SESSION_H
#define SP_MQTT_SESSION_H

#include "base/clock.h"
#include "modules/mqtt_mtls/config.h"
#include "modules/mqtt_mtls/decode.h"
#include "modules/mqtt_mtls/encode.h"
#include "modules/mqtt_mtls/metrics.h"
#include "net/conn.h"
#include "net/router.h"
#include "process/process.h"

struct sp_claim;
struct sp_mqtt_ack_wait;
struct sp_mqtt_ask;
struct sp_mqtt_dormant;
struct sp_mqtt_outbound;
struct sp_mqtt_publisher;
struct sp_mqtt_session;
struct sp_mqtt_suback_wait;
struct sp_mqtt_sys;
struct sp_mqtt_will;

/* One PUBLISH as it was encoded for a receiver: the next receivers get a copy. */
struct sp_mqtt_encoding {
    const char *bytes; /* in the first receiver's output: valid until the end of the loop turn */
    uint32_t    n, id_at;
    uint8_t     key; /* level 5, QoS, retain */
};

struct sp_mqtt_encodings { /* of one message: sp_message.encoded */
    struct sp_mqtt_encoding at[8];
    unsigned                n;
    uint32_t                expiry_s;
    bool                    expired;
};

/* This module in a worker: process->module[index]. */
struct sp_mqtt_worker {
    struct sp_process         *process;
    const struct sp_mqtt_conf *conf;     /* of process->snapshot */
    _Atomic int64_t           *counters; /* by enum sp_mqtt_metric */
    struct sp_mqtt_encodings   encodings;
    char                      *scratch; /* for what does not fit elsewhere during a call */
    size_t                     scratch_bytes;
    struct sp_mqtt_sys        *sys;
    struct sp_mqtt_session    *sys_first; /* sessions with a subscription below $SYS/ */
    uint64_t                   next_suback;
    uint64_t                   started_ms;
    unsigned                   refs; /* the module and every session */
};

enum sp_mqtt_state {
    SP_MQTT_FRESH,    /* no CONNECT yet */
    SP_MQTT_CLAIMING, /* CONNECT was fine; waits for the client id */
    SP_MQTT_OPEN,
    SP_MQTT_ENDED /* out of the books; the connection still closes */
};

/* Why this module pauses a connection; each at most once at a time. */
enum sp_mqtt_hold {
    SP_MQTT_HOLD_CLAIM = 1,
    SP_MQTT_HOLD_SUBACK = 2,
    SP_MQTT_HOLD_RATE = 4,
    SP_MQTT_HOLD_ACKS = 8,
    SP_MQTT_HOLD_ASKS = 16,   /* looks at the retained messages under way */
    SP_MQTT_HOLD_OUTPUT = 32, /* the client asks and does not take the answers */
};

struct sp_mqtt_session {
    struct sp_subscriber           subscriber;
    struct sp_conn                *conn;
    struct sp_mqtt_worker         *worker;
    const struct sp_mqtt_settings *settings; /* of conn->snapshot */
    struct sp_mqtt_wire            wire;
    struct sp_mqtt_peer            peer;
    uint8_t                        state;         /* enum sp_mqtt_state */
    uint8_t                        holds;         /* enum sp_mqtt_hold */
    uint8_t                        connack_notes; /* connect.c */
    bool                           may_expire;    /* CONNECT had a session expiry other than 0 (MQTT 5 3.14.2.2.2) */
    uint16_t                       window;        /* QoS 1 messages on their way to the client */
    uint16_t                       receive_max;   /* announced: from the client to us */
    uint16_t                       keepalive_s;   /* in force; 0: none */
    struct sp_str                  client_id;     /* malloc'd */
    struct sp_claim               *claim;
    struct sp_mqtt_will           *will;
    struct sp_mqtt_publisher      *publisher;        /* publish.c */
    struct sp_mqtt_outbound       *outbound;         /* deliver.c */
    struct sp_mqtt_ack_wait       *acks, *acks_last; /* ack.c: acknowledgements that wait for the keeper, in order */
    unsigned                       nacks;
    struct sp_mqtt_suback_wait    *suback; /* subscribe.c: the one that waits */
    struct sp_mqtt_ask            *asks;   /* retained.c: queries under way */
    unsigned                       nasks;
    struct sp_mqtt_overtaken      *overtaken;
    struct sp_mqtt_dormant        *dormant;
    unsigned                       ndormant;
    struct sp_mqtt_session        *sys_next, **sys_prev;
    uint64_t                       received_bytes, sent_bytes;
    uint64_t                       heard_ms;   /* when a packet last came, or a fair piece of one */
    uint32_t                       part_bytes; /* of an unfinished packet, at that time */
    struct sp_timer                timer;      /* CONNECT's deadline, then keep alive */
};

extern const struct sp_protocol sp_mqtt_protocol;

static inline struct sp_mqtt_session *
sp_mqtt_session_of(struct sp_subscriber *s)
{
    return (struct sp_mqtt_session *)(void *)s; /* the subscriber comes first */
}

static inline void
sp_mqtt_count(const struct sp_mqtt_worker *w, enum sp_mqtt_metric which, int64_t by)
{
    sp_metric_add(&w->counters[which], by);
}

/* This module in a worker. It outlives the module's stop() until the last session is gone. */
struct sp_mqtt_worker *sp_mqtt_worker(struct sp_process *p);
void                   sp_mqtt_worker_unref(struct sp_mqtt_worker *w);
/* At least n bytes for the duration of a call, shared by all; NULL when out of memory. */
char *sp_mqtt_scratch(struct sp_mqtt_worker *w, size_t n);

/* Who the client is, for decisions under the snapshot in force. Slices live as long as the session. */
void sp_mqtt_subject(const struct sp_mqtt_session *s, struct sp_subject *out);

/* Pauses the connection for this reason, and lets go again. The release may take more input at once: make it the last thing done. */
void sp_mqtt_hold(struct sp_mqtt_session *s, enum sp_mqtt_hold why);
void sp_mqtt_release(struct sp_mqtt_session *s, enum sp_mqtt_hold why);

/* Appends a packet (already encoded) to the output. Out of memory closes. */
void sp_mqtt_send(struct sp_mqtt_session *s, const void *packet, size_t n);

/* Ends the session and closes the connection after a DISCONNECT with this reason (MQTT 5; with `text`, which may be NULL, as reason
 * string). The will goes out. */
void sp_mqtt_disconnect(struct sp_mqtt_session *s, uint8_t reason, const char *text);
/* As above after what the decoder found; logged. */
void sp_mqtt_protocol_error(struct sp_mqtt_session *s, const struct sp_mqtt_error *err);
/* Ends the session after the client's own DISCONNECT. */
void sp_mqtt_goodbye(struct sp_mqtt_session *s, bool send_will, const char *how);
/* Takes the session out of router, registry and timers; with or without its will. Once; later calls do nothing. */
void sp_mqtt_detach(struct sp_mqtt_session *s, bool send_will);
/* Another connection has this client id now (MQTT 5 3.1.4-3). For sp_names_start. */
void sp_mqtt_kicked(struct sp_process *p, uint64_t owner);
/* The claim of the client id was granted or the deadlines are to be watched: connect.c arms the session's timer. */
void sp_mqtt_watch(struct sp_mqtt_session *s);

/* "client=drone id=drone-1 peer=192.0.2.1:5555" for logs, escaped; returns dst. */
#define SP_MQTT_NAME_BYTES 320
const char *sp_mqtt_name(const struct sp_mqtt_session *s, char *dst, size_t cap);
/* "realm=fleet client=drone topic=/rl/log" for logs, escaped; returns dst. */
#define SP_MQTT_ABOUT_BYTES 512
const char *sp_mqtt_about(const struct sp_mqtt_session *s, const struct sp_policy *policy, struct sp_str topic,
                          char *dst, size_t cap);

#endif
