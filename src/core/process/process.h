/* What a worker and the keeper have in common: slot, loop, bus, snapshot. Passed as context everywhere. */
#ifndef SP_PROCESS_PROCESS_H
#define SP_PROCESS_PROCESS_H

#include "base/metrics.h"
#include "base/outq.h"
#include "base/wheel.h"
#include "conf/snapshot.h"

struct event_base;
struct sp_bus;
struct sp_channel;
struct sp_net;
struct sp_router;
struct sp_store;
struct sp_names;
struct sp_registrar;
struct sp_shelf;
struct sp_retained;

enum sp_process_kind { SP_WORKER, SP_KEEPER };

struct sp_process {
    enum sp_process_kind      kind;
    unsigned                  slot;    /* workers 0 .. workers-1, the keeper is `workers` */
    uint32_t                  epoch;   /* which incarnation in this slot, from 1 */
    unsigned                  workers; /* how many */
    struct event_base        *base;
    struct sp_wheel          *wheel;
    const struct sp_registry *registry;
    struct sp_snapshot       *snapshot; /* in force */
    struct sp_snapshot       *next;     /* prepared, not committed; NULL otherwise */
    struct sp_metrics        *metrics;
    struct sp_channel        *channel; /* to the master */
    struct sp_bus            *bus;
    struct sp_outq_pool       outq_pool;
    struct sp_net            *net;            /* worker */
    struct sp_router         *router;         /* worker */
    struct sp_names          *names;          /* worker: client of the keeper's registry */
    struct sp_retained       *retained;       /* worker: client of the keeper's retained messages */
    struct sp_store          *store;          /* keeper */
    struct sp_registrar      *registrar;      /* keeper */
    struct sp_shelf          *shelf;          /* keeper */
    void                    **module;         /* by module index: what its start() keeps here */
    int                      *metric_base;    /* by module index: index of its first metric */
    int                       router_metrics; /* index of sp_router_metrics[0]; -1: not registered */
    unsigned                  holds;          /* listeners start to accept when this falls to 0 */
    bool                      stopping;
    void (*unheld)(struct sp_process *p); /* what the last release does */
    struct sp_later       *later_first, *later_last, *later_free;
    struct sp_process_log *logs; /* files opened by the master for this process to append to */
    unsigned               nlogs;
    unsigned               logs_version; /* grows when they were opened anew: look descriptors up again */
};

struct sp_process_log {
    char *path; /* as in the configuration, after the prefix was applied */
    int   fd;
};

/* Reasons not to accept yet (interest not heard, keeper not there); release() of the last starts accepting. */
void sp_process_hold(struct sp_process *p);
void sp_process_release(struct sp_process *p);

/* Runs fn(arg) in this process at the end of the current loop turn, once. */
void sp_process_later(struct sp_process *p, void (*fn)(struct sp_process *p, void *arg), void *arg);

/* The loop's part of it: runs what was there when it was called. True when more has come meanwhile. */
bool sp_process_run_later(struct sp_process *p);
void sp_process_forget_later(struct sp_process *p);

/* The descriptor of a log file that the configuration names (error_log, access_log); -1 when there is none of that path. */
int sp_process_log_fd(const struct sp_process *p, struct sp_str path);

static inline bool
sp_process_is_worker(const struct sp_process *p)
{
    return p->kind == SP_WORKER;
}

#endif
