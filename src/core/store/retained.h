/*
 * Retained messages: kept by the keeper, in memory by topic and in its store; workers set and query over the bus.
 */
#ifndef SP_STORE_RETAINED_H
#define SP_STORE_RETAINED_H

#include "net/router.h"

struct sp_process;
struct sp_retained;
struct sp_retained_query;

/* Worker side. */
int  sp_retained_start(struct sp_process *p, struct sp_retained **out);
void sp_retained_stop(struct sp_retained *r);
/* Stores m (an empty payload deletes) as the topic's retained message. With `durable`, stored(arg, err) is called when it
 * is on disk (err 0) or cannot be (negative: -ENOSPC limit reached, -EIO, -ENOMEM); otherwise when the keeper has it in memory, or
 * on disk when its disk is behind. A set is repeated to a new keeper until it was answered. `identity`: the publisher's, kept for
 * access checks. -EAGAIN: more than 64 MiB are unanswered, -EMSGSIZE, -ENOMEM; stored is not called then. */
int sp_retained_set(struct sp_retained *r, const struct sp_message *m, struct sp_str identity, bool durable,
                    void (*stored)(void *arg, int err), void *arg);
/* Every retained message whose topic the filter matches: match() for each (m valid during the call), done() at the end, when the
 * query is gone already. Expiry is counted down. Survives a keeper's death by asking the next one (matches may come again). Cancel
 * when the subscriber goes; match() may. NULL when out of memory or when 64 MiB of queries wait. */
struct sp_retained_query *sp_retained_ask(struct sp_retained *r, struct sp_str filter,
                                          void (*match)(void *arg, const struct sp_message *m), void (*done)(void *arg),
                                          void *arg);
void                      sp_retained_cancel(struct sp_retained *r, struct sp_retained_query *q);
/* The keeper is up (a new one, perhaps): repeats what it has not answered. */
void sp_retained_keeper_up(struct sp_retained *r);
/* Forgets the callbacks of sp_retained_set whose arg is about to go. */
void sp_retained_forget(struct sp_retained *r, void *arg);

/* Keeper side. Loads from the store at start; limits (count, bytes) from the directives retained_max_count, retained_max_bytes. */
struct sp_shelf;
/* Opens nothing itself: p->store is there. */
int  sp_shelf_start(struct sp_process *p, struct sp_shelf **out);
void sp_shelf_stop(struct sp_shelf *s);
void sp_shelf_peer_down(struct sp_shelf *s, unsigned slot);
/* New limits after a reload. */
void     sp_shelf_commit(struct sp_shelf *s);
uint64_t sp_shelf_count(const struct sp_shelf *s);
uint64_t sp_shelf_bytes(const struct sp_shelf *s);

#endif
