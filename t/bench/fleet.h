/*
 * Many clients on one epoll: brings them up at a bounded rate with bounded concurrency (TCP, TLS, CONNECT, SUBSCRIBE), hands
 * incoming packets to a scenario, keeps connections alive, counts what was lost.
 */
#ifndef SP_BENCH_FLEET_H
#define SP_BENCH_FLEET_H

#include <signal.h>
#include <stdint.h>

#include "client.h"
#include "options.h"
#include "wire.h"

struct sp_fleet_plan {
    char     client_id[128];
    char     filter[256]; /* empty: subscribe to nothing */
    unsigned qos;
};

/* What a scenario supplies. Any but plan may be NULL. A call may finish the client it is about, and no other. */
struct sp_fleet_calls {
    void (*plan)(void *ctx, unsigned index, struct sp_fleet_plan *plan);
    void (*ready)(void *ctx, struct sp_client *c);
    void (*publish)(void *ctx, struct sp_client *c, const struct sp_publish *p);
    void (*acked)(void *ctx, struct sp_client *c, uint16_t id, uint8_t reason);
    void (*writable)(void *ctx, struct sp_client *c); /* the output buffer ran empty after having been stuck */
};

struct sp_fleet {
    const struct sp_options     *o;
    const struct sp_fleet_calls *calls;
    void                        *ctx;
    const volatile sig_atomic_t *stop; /* set by a signal */
    SSL_CTX                     *tls;
    struct sp_client            *clients;
    uint8_t                     *scratch;
    struct sockaddr_storage      addr;
    socklen_t                    addr_len;
    int                          epfd, timerfd;
    unsigned                     total, started, pending, concurrency, connect_rate;
    unsigned                     ready;  /* ever */
    unsigned                     failed; /* ended before they were ready */
    unsigned                     lost;   /* ended after that, not by us */
    uint64_t                     launched_ns, timer_ns, pinged_ns, now_ns;
    char                         error[256]; /* what went wrong first */
};

/* Make room for `total` clients. 0, or negative errno after a message on stderr. */
int sp_fleet_init(struct sp_fleet *f, const struct sp_options *o, unsigned total, const struct sp_fleet_calls *calls,
                  void *ctx, const volatile sig_atomic_t *stop);

/*
 * One turn: start clients that may start, wait for events but not beyond deadline_ns (0: do not wait), handle them.
 * now_ns is the time when the wait ended.
 */
void sp_fleet_turn(struct sp_fleet *f, uint64_t deadline_ns);

/* Turns until every client is ready. 0, -EINTR after a signal, -ECONNREFUSED when one failed, -ETIMEDOUT. */
int sp_fleet_gather(struct sp_fleet *f);

/* Flush; a client that cannot be written to is ended and counted as lost. */
void sp_fleet_flush(struct sp_fleet *f, struct sp_client *c);

/* DISCONNECT and close: not a loss. */
void sp_fleet_finish(struct sp_fleet *f, struct sp_client *c);

/* Finish every client and release everything. */
void sp_fleet_free(struct sp_fleet *f);

#endif
