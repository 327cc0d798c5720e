/*
 * A worker or the keeper, from the fork to its exit: what both have in common. The parts that differ are in worker.c and
 * keeper.c, the answers to the master's PREPARE, COMMIT and ABORT in prepare.c, those to its REQUEST in request.c.
 */
#ifndef SP_PROCESS_CHILD_H
#define SP_PROCESS_CHILD_H

#include <sys/types.h>

#include "cli/options.h"
#include "process/channel.h"
#include "process/plan.h"
#include "process/process.h"

struct sp_bus_shared;

/* Exit codes of a child. */
enum { SP_CHILD_OK, SP_CHILD_FAILED, SP_CHILD_HOPELESS /* trying again would not help */ };

/* What the master gives along through the fork. Descriptors are the child's from then on. */
struct sp_launch {
    enum sp_process_kind      kind;
    unsigned                  slot;
    uint32_t                  epoch;
    uint64_t                  generation;
    pid_t                     parent;
    int                       channel, bundle;
    int                      *listeners; /* malloc'd; worker only */
    unsigned                  nlisteners;
    const struct sp_options  *options;
    const struct sp_registry *registry;
    const struct sp_plan     *plan;
    struct sp_bus_shared     *bus;
    struct sp_metrics        *metrics;
    int                      *metric_base;
    int                       router_metrics;
    const uint8_t            *ticket_secret;
    struct sp_process_log    *logs; /* malloc'd */
    unsigned                  nlogs;
};

struct sp_prepare;

struct sp_self {
    struct sp_process       p; /* first: a struct sp_process * of this process is a struct sp_self * */
    const struct sp_launch *launch;
    struct sp_prepare      *prepare;
    uint64_t                generation;
    bool                    done, ready, accepting, paused, keeper_seen, opened;
    int                     exit_code;
    unsigned                modules_started;
};

static inline struct sp_self *
sp_self(struct sp_process *p)
{
    return (struct sp_self *)(void *)p;
}

/* Runs the process; returns its exit code. */
int sp_child_main(const struct sp_launch *launch);

/* Ends the loop after this turn. */
void sp_child_end(struct sp_self *self, int exit_code);
void sp_child_stop_modules(struct sp_self *self); /* in reverse order */
void sp_child_send(struct sp_self *self, enum sp_channel_type type, uint32_t id, struct sp_str body);

/* -- worker.c -- */
int  sp_worker_start(struct sp_self *self);
int  sp_worker_finish_start(struct sp_self *self); /* the modules have started */
void sp_worker_stop(struct sp_self *self);
void sp_worker_quit(struct sp_self *self, uint64_t drain_ms);
void sp_worker_accept(struct sp_self *self, bool on);
void sp_worker_peer_up(struct sp_process *p, unsigned slot);
void sp_worker_peer_down(struct sp_process *p, unsigned slot);

/* -- keeper.c -- */
int  sp_keeper_start(struct sp_self *self);
void sp_keeper_stop(struct sp_self *self);
void sp_keeper_peer_up(struct sp_process *p, unsigned slot);
void sp_keeper_peer_down(struct sp_process *p, unsigned slot);

/* -- prepare.c -- */
int  sp_prepare_create(struct sp_self *self);
void sp_prepare_destroy(struct sp_self *self); /* waits for a build that is running */
void sp_prepare_start(struct sp_self *self, const struct sp_channel_message *m);
void sp_prepare_commit(struct sp_self *self);
void sp_prepare_abort(struct sp_self *self);

/* -- request.c -- */
void sp_request_answer(struct sp_self *self, const struct sp_channel_message *m);

#endif
