/*
 * A stream connection of a peer in a worker: accept, TLS, batched reads, one write per loop turn, timeouts, orderly close.
 * Protocol modules register a struct sp_protocol and see decrypted bytes.
 *
 * Reads: everything the socket has, up to a budget per turn, goes into one buffer of the worker and straight to
 * protocol->input; only an incomplete tail is kept per connection. Writes: protocols append to conn->out and call
 * sp_conn_touch; at the end of the loop turn each touched connection writes once. An idle connection holds no buffers.
 */
#ifndef SP_NET_CONN_H
#define SP_NET_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/outq.h"
#include "base/wheel.h"
#include "net/listener.h"

struct sp_process;
struct sp_conn;

enum sp_verdict { SP_KEEP, SP_TRIM, SP_CLOSE };

enum sp_close_why {
    SP_CLOSE_PEER,       /* the peer closed or the network broke */
    SP_CLOSE_PROTOCOL,   /* the module asked */
    SP_CLOSE_TIMEOUT,    /* a timer of conn: handshake, stalled writer, linger */
    SP_CLOSE_CREDENTIAL, /* the certificate no longer verifies, or ended */
    SP_CLOSE_POLICY,     /* rebind said CLOSE */
    SP_CLOSE_SHUTDOWN,
    SP_CLOSE_TAKEOVER, /* the same name connected elsewhere (store/names) */
};

struct sp_protocol {
    const char *name; /* = listener->protocol */
    /* The handshake is done and the identity known. May refuse: negative closes. Sets conn->session. */
    int (*open)(struct sp_conn *c);
    /* n bytes from the peer. Returns how many were consumed (the rest is offered again with more), or negative to close at
     * once. With sp_conn_pause the rest is kept and offered on resume. */
    ssize_t (*input)(struct sp_conn *c, const char *bytes, size_t n);
    /* The output went below the low-water mark (or became empty) after it had been above the high one. */
    void (*drained)(struct sp_conn *c);
    /* How many bytes an incomplete packet may need: a tail above this is a protocol error and closes. */
    size_t (*tail_limit)(struct sp_conn *c);
    /* The snapshot changed since this session was last checked. conn->snapshot is still the old one. */
    enum sp_verdict (*rebind)(struct sp_conn *c, struct sp_snapshot *was, struct sp_snapshot *now);
    /* Good-bye in the protocol's own words, before a close that the core decided; may append output. */
    void (*farewell)(struct sp_conn *c, enum sp_close_why why);
    /* The connection is gone; frees the session. Called exactly once if open succeeded. */
    void (*closed)(struct sp_conn *c, enum sp_close_why why);
};
/* From module init. */
int sp_protocol_register(const struct sp_protocol *p);

struct sp_conn {
    struct sp_process             *process;
    const struct sp_protocol      *protocol;
    void                          *session; /* the module's */
    struct sp_identity            *identity;
    struct sp_snapshot            *snapshot; /* last checked against; a reference is held */
    const struct sp_listener_conf *listener; /* of conn->snapshot */
    uint64_t                       id;       /* never reused in a gateway's life: slot << 56 | epoch << 40 | counter */
    SSL                           *ssl;      /* NULL: plain */
    int                            fd;
    uint8_t                        state;  /* conn.c's */
    uint8_t                        why;    /* enum sp_close_why, once it closes */
    uint16_t                       paused; /* how many times */
    bool                           touched, resumed, writing, closing, over_high;
    bool                           ended;      /* the peer has, while it was paused: first what it said before */
    bool                           opened;     /* open() succeeded and closed() was not called yet */
    bool                           ticket_due; /* goes out with the first output */
    bool                           peer_done;  /* it has sent its FIN */
    struct sp_outq                 out;
    char                          *tail; /* incomplete input */
    uint32_t                       tail_bytes, tail_capacity;
    struct event                   ev;
    struct sp_timer                timer;        /* conn.c's: handshake, stall, linger, certificate's end */
    struct sp_conn                *next, **prev; /* all connections of the worker */
    struct sp_conn                *next_touched, *next_resumed;
    struct sp_conn                *next_pending, **prev_pending; /* unfinished handshakes, oldest first */
    char                          *wire;                         /* TLS records that the socket did not take yet */
    uint32_t                       wire_at, wire_end;
    uint32_t                       drained_bytes;    /* while it lingers */
    int64_t                        full_handshake_s; /* wall clock: session tickets count from it */
    uint64_t                       progress_ms;      /* when output last moved, or closing began */
    uint64_t                       opened_ms;
    struct sockaddr_storage       *peer; /* allocated to its size */
};

/* Output was appended: write at the end of this turn. */
void sp_conn_touch(struct sp_conn *c);
/* Stop and go on reading the peer (back-pressure). Nested: counts. What was kept is offered at the end of the turn. */
void sp_conn_pause(struct sp_conn *c);
void sp_conn_resume(struct sp_conn *c);
/* Closes after what is in `out` has been written (FIN, then drain for a while: an RST would destroy a last DISCONNECT); no more
 * input is given to the protocol. closed() is called later, from the loop, never from inside this call. */
void sp_conn_close(struct sp_conn *c, enum sp_close_why why);
/* Brings a stale connection up to date with p->snapshot: protocol code calls it before it acts for a session other than
 * from input (input is preceded by it). False: the connection is closing now. */
bool sp_conn_fresh(struct sp_conn *c);
/* "192.0.2.1:5555" or "[2001:db8::1]:5555"; returns dst. */
const char *sp_conn_peer(const struct sp_conn *c, char *dst, size_t cap);

/* Water marks of `out`. */
#define SP_CONN_HIGH_BYTES (1024 * 1024)
#define SP_CONN_LOW_BYTES  (256 * 1024)

/* -- for process/worker -- */
struct sp_net; /* the worker's connections, read buffer, limits per address */
int  sp_net_start(struct sp_process *p, struct sp_net **out);
void sp_net_stop(struct sp_net *n);
/* Listener sockets of the current snapshot, by index; fds are taken over. accepting starts when sp_net_accept(true). */
int  sp_net_listen(struct sp_net *n, const int *fds, unsigned count);
void sp_net_accept(struct sp_net *n, bool on);
/* After a commit: a paced sweep (256 a turn) rebinds every idle session; *done is called at the end. */
void sp_net_sweep(struct sp_net *n,
                  void (*done)(struct sp_process *p, unsigned kept, unsigned trimmed, unsigned closed));
/* End of a loop turn: writes every touched connection once. */
void     sp_net_flush(struct sp_net *n);
unsigned sp_net_count(const struct sp_net *n);
/* Graceful shutdown: farewell to everyone, paced over drain_ms. */
void sp_net_drain(struct sp_net *n, uint64_t drain_ms, void (*done)(struct sp_process *p));
/* NULL when it is gone, closing, or not open yet. */
struct sp_conn *sp_net_find(struct sp_net *n, uint64_t id);

/* Totals since the start of this worker; gauges: pending, connections. */
struct sp_net_stats {
    int64_t accepted, refused, connections, pending;
    int64_t handshakes, resumed, handshake_failures, handshake_timeouts;
    int64_t bytes_in, bytes_out, reads, writes;
    int64_t stalled, credential_closes;
};
const struct sp_net_stats *sp_net_stats(const struct sp_net *n);

#endif
