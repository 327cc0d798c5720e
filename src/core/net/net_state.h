/* What the files behind net/conn.h share: a worker's connections and buffers. Nobody else includes it. */
#ifndef SP_NET_NET_STATE_H
#define SP_NET_NET_STATE_H

#include "base/log.h"
#include "net/conn.h"
#include "net/net_directives.h"
#include "process/process.h"

#define SP_NET_TAIL_COPY                                                                                               \
    16384u /* a tail up to this size is copied in front of new input, a larger one is appended to */
#define SP_NET_READ       262144u /* input of one connection in one go, in plain text */
#define SP_NET_RX         65536u  /* what is read from a TLS connection in one go */
#define SP_NET_TX         196608u /* TLS records of one connection in one send */
#define SP_NET_RECORD     16384u  /* the most that one record holds */
#define SP_NET_TX_SPARE   20480u  /* a record with its overhead, and a ticket */
#define SP_NET_READ_TURN  262144u /* what one connection may send in one turn of the loop */
#define SP_NET_WRITE_TURN 1048576u
#define SP_NET_SWEEP      256u
#define SP_NET_LINGER_MS  1000u
#define SP_NET_LINGER_MAX 65536u
#define SP_NET_CLOSE_MS   10000u   /* for the last output of a closing connection */
#define SP_NET_TURN_NS    5000000u /* of handshakes, or of verifying again, in one turn: the others go on being served */
#define SP_NET_OLD_MS     1000u    /* an unfinished handshake may be cut off for a new one after this */

enum sp_conn_state {
    SP_CONN_ACCEPTED, /* TLS, no byte seen: no SSL object yet */
    SP_CONN_HANDSHAKE,
    SP_CONN_OPEN,
    SP_CONN_CLOSING, /* the last output is on its way */
    SP_CONN_LINGER,  /* FIN sent; what still comes is thrown away */
    SP_CONN_DEAD,    /* freed at the end of the turn */
};

/* Why no connection is accepted right now. */
enum { SP_NET_OFF = 1, SP_NET_NO_FDS = 2, SP_NET_FULL = 4, SP_NET_HANDSHAKES = 8 };

struct sp_listening {
    struct sp_net                 *net;
    const struct sp_listener_conf *conf; /* of snapshot */
    const struct sp_protocol      *protocol;
    struct sp_snapshot            *snapshot; /* a reference */
    int                            fd;
    bool                           added;
    struct event                   ev;
};

struct sp_sweep {
    struct sp_conn *next;
    bool            running;
    unsigned        kept, trimmed, closed;
    void (*done)(struct sp_process *p, unsigned kept, unsigned trimmed, unsigned closed);
};

struct sp_drain {
    bool     running;
    uint64_t started_ms, until_ms;
    unsigned total;
    void (*done)(struct sp_process *p);
};

struct sp_net {
    struct sp_process    *process;
    struct sp_net_limits  limits;
    uint64_t              limits_generation;
    struct sp_identities *identities;
    struct sp_conn       *conns;
    unsigned              count, lingering;
    struct sp_conn       *pending, **pending_end;
    unsigned              npending;
    struct sp_conn       *touched, **touched_end;
    struct sp_conn       *resumed, **resumed_end;
    struct sp_conn       *dead;
    struct sp_conn      **ids; /* open addressing by the id's counter */
    size_t                nids, ids_capacity;
    uint64_t              last_id;
    struct sp_map         addresses;
    struct sp_listening  *listening;
    unsigned              nlistening;
    unsigned              not_accepting; /* SP_NET_OFF ... */
    int                   reserve_fd;    /* given up to accept and close one when there are no more */
    struct sp_timer       accept_timer;
    struct event          wake; /* another turn without waiting */
    struct sp_sweep       sweep;
    struct sp_drain       drain;
    struct sp_timer       drain_timer;
    bool                  turn_begun; /* the clock was read in this turn */
    uint64_t              turn_ns;    /* spent on handshakes in this turn */
    struct sp_net_stats   stats;
    /* TLS */
    BIO_METHOD *bio_method;
    BIO        *bio; /* one for all: only one connection is worked on at a time */
    size_t      rx_at, rx_end, tx_end;
    char       *rx, *tx, *record;
    char       *in; /* SP_NET_TAIL_COPY, then SP_NET_READ */
};

static inline struct sp_net *
sp_conn_net(const struct sp_conn *c)
{
    return c->process->net;
}

const struct sp_protocol *sp_protocol_find(const char *name);

/* -- net.c -- */
void sp_net_turn(struct sp_net *n); /* first thing in every event: the clock */
void sp_net_wake(struct sp_net *n);
void sp_net_use_limits(struct sp_net *n);
/* For `ms` at most; 0: until it is unblocked. */
void sp_net_accept_block(struct sp_net *n, unsigned why, uint64_t ms);
void sp_net_accept_unblock(struct sp_net *n, unsigned why);
int  sp_net_id_add(struct sp_net *n, struct sp_conn *c);
void sp_net_id_remove(struct sp_net *n, struct sp_conn *c);

/* -- accept.c -- */
void sp_net_on_accept(evutil_socket_t fd, short what, void *arg); /* arg: struct sp_listening */
void sp_net_on_accept_timer(struct sp_timer *t, void *arg);
void sp_net_address_gone(struct sp_net *n, const struct sp_conn *c);

/* -- conn.c -- */
/* Takes the fd over in every case. */
void sp_conn_create(struct sp_listening *l, int fd, const struct sockaddr *addr, socklen_t len);
/* At once: no more output. closed() is called here. */
void sp_conn_kill(struct sp_conn *c, enum sp_close_why why);
/* The credential is known (or there is none): the protocol takes over. */
void sp_conn_open(struct sp_conn *c, struct sp_identity *identity);
void sp_conn_pending_remove(struct sp_conn *c);
/* Which events the socket is watched for; no system call when nothing changes. */
void sp_conn_watch(struct sp_conn *c, bool read, bool write);
void sp_conn_set_timer(struct sp_conn *c);
/* All output is written: FIN, then linger. */
void sp_conn_finish(struct sp_conn *c);
void sp_conn_free_dead(struct sp_net *n);
void sp_conn_call_closed(struct sp_conn *c);

/* -- conn_io.c -- */
void sp_conn_read(struct sp_conn *c);
void sp_conn_write(struct sp_conn *c);
/* n bytes at net->in + SP_NET_TAIL_COPY go to the protocol. */
void sp_conn_input(struct sp_conn *c, size_t n);
void sp_conn_offer_tail(struct sp_conn *c);
/* The peer has ended its side: now, or when what it is paused over has been taken. */
void sp_conn_end(struct sp_conn *c);
/* send(2), without SIGPIPE. Bytes, 0 when the socket is full, negative errno. */
ssize_t sp_conn_send(struct sp_conn *c, const struct iovec *iov, int count);

/* -- conn_tls.c -- */
int  sp_tls_start(struct sp_net *n);
void sp_tls_stop(struct sp_net *n);
void sp_tls_handshake(struct sp_conn *c);
/* Decrypts what lies in net->rx, all of it, and gives it to the protocol. 0, or -EPIPE at the peer's close_notify, -EPROTO. */
int sp_tls_input(struct sp_conn *c);
/* Encrypts output into net->tx, as much as fits. 0 or negative. */
int sp_tls_encrypt(struct sp_conn *c);
/* Sends net->tx, keeps in c->wire what the socket does not take. 0 or negative errno. */
int sp_tls_send(struct sp_conn *c);
/* close_notify, then away with the SSL object. */
void sp_tls_end(struct sp_conn *c);

/* -- sweep.c -- */
/* Without the protocol: for connections that are not open yet. False: the listener is gone or changed. */
bool sp_conn_adopt(struct sp_conn *c);
void sp_net_sweep_step(struct sp_net *n);
void sp_net_drain_check(struct sp_net *n);

#endif
