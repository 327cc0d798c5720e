/*
 * The bus: typed messages between the processes of one gateway, over rings. FIFO per ordered pair. Messages larger than a
 * ring record are cut into fragments and put together again by the receiver, so order holds for any size.
 */
#ifndef SP_NET_BUS_H
#define SP_NET_BUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define SP_BUS_SLOTS_MAX 65 /* 64 workers and the keeper */

struct event_base;
struct sp_process;
struct sp_bus;
struct sp_bus_shared; /* rings and eventfds, made by the master, inherited by every child */

enum sp_bus_type {
    /* interest and routing (net/router) */
    SP_BUS_INTEREST_ADD = 1,
    SP_BUS_INTEREST_DEL,
    SP_BUS_INTEREST_ACK,
    SP_BUS_INTEREST_END, /* "you have heard all my filters" */
    SP_BUS_PUBLISH,
    SP_BUS_FLOW_PAUSE, /* a receiver of this publisher is full */
    SP_BUS_FLOW_RESUME,
    /* keeper: names (store/names) */
    SP_BUS_NAME_CLAIM = 16,
    SP_BUS_NAME_GRANT,
    SP_BUS_NAME_KICK,
    SP_BUS_NAME_RELEASE,
    SP_BUS_NAME_HELD, /* re-announcement to a new keeper */
    SP_BUS_NAME_END,
    /* keeper: retained messages (store/retained) */
    SP_BUS_RETAIN_SET = 32,
    SP_BUS_RETAIN_STORED,
    SP_BUS_RETAIN_QUERY,
    SP_BUS_RETAIN_MATCH,
    SP_BUS_RETAIN_DONE,
    /* a module's own: SP_BUS_MODULE + module index * 16 + n */
    SP_BUS_MODULE = 256,
    SP_BUS_TYPES = 1024,
};

/* Bytes of a message are a copy of our own, valid during the call and aligned to 8. Handlers check every length themselves: a
 * peer process is semi-trusted. `from` is the sender's slot. */
typedef void (*sp_bus_fn)(struct sp_process *p, unsigned from, const void *body, size_t bytes);

/* Master, before any fork. slots = workers + 1 (the keeper is the last slot). ring_bytes 0: 8 MiB / workers, at least 128 KiB. */
int  sp_bus_shared_create(unsigned slots, size_t ring_bytes, struct sp_bus_shared **out);
void sp_bus_shared_destroy(struct sp_bus_shared *s);

/* In a child: takes the slot with its epoch; skips what was meant for a predecessor, and ignores what comes for it later
 * from those who have not heard of its end. -EINVAL, -ENOMEM. */
int sp_bus_create(struct sp_process *p, struct sp_bus_shared *s, unsigned slot, uint32_t epoch, struct event_base *base,
                  struct sp_bus **out);
void sp_bus_destroy(struct sp_bus *b);
void sp_bus_handle(struct sp_bus *b, unsigned type, sp_bus_fn fn);

/* What the master says of the others (process/channel), called from the loop, never by a handler. Down: everything that the
 * dead one had published is handled first, then on_down. A newer epoch (here, or in a record) counts as down and up. */
void sp_bus_peer_up(struct sp_bus *b, unsigned slot, uint32_t epoch);
void sp_bus_peer_down(struct sp_bus *b, unsigned slot, uint32_t epoch);
bool sp_bus_peer_is_up(const struct sp_bus *b, unsigned slot);
void sp_bus_on_peer(struct sp_bus *b, void (*up)(struct sp_process *, unsigned slot),
                    void (*down)(struct sp_process *, unsigned slot));

/* Sends the concatenation of iov. SP_BUS_DROPPABLE: -EAGAIN when there is no room (count it). Otherwise a message that
 * does not fit waits in an overflow queue in order, and congested() is true until it is empty again: callers stop reading
 * the peers that caused it. -EHOSTDOWN when `to` is down. -EMSGSIZE above 288 MiB. -ENOMEM (try again from on_room). */
#define SP_BUS_DROPPABLE 1u
int  sp_bus_send(struct sp_bus *b, unsigned to, unsigned type, unsigned flags, const struct iovec *iov, int iovcnt);
bool sp_bus_congested(const struct sp_bus *b, unsigned to);
/* fn runs, from the loop, when no destination is congested any more, and after a send that failed with -ENOMEM. Up to 8 of
 * them; -ENOSPC. */
int sp_bus_on_room(struct sp_bus *b, void (*fn)(struct sp_process *p));
/* Memory ran out before there was anything to send: on_room shall run in a while all the same. */
void sp_bus_retry(struct sp_bus *b);

/* End of a loop turn: publishes every touched ring and wakes each sleeping consumer once. (A ring that takes more than a
 * quarter of its size in one turn is published before.) */
void sp_bus_flush(struct sp_bus *b);
/* Publishes what was sent so far. Before a byte goes to a network peer: it may be the acknowledgement of what is in a ring,
 * and must not be seen if we die before the ring's readers see that. Cheap when nothing was sent. */
void sp_bus_publish(struct sp_bus *b);

size_t sp_bus_queued_bytes(const struct sp_bus *b); /* overflow, all destinations */

#endif
