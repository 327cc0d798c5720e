/*
 * The master: watches. One loop on libevent, no other thread; never parses a configuration, never reads a byte that a
 * network peer sent. What it knows is here; what it does is in master.c (start and end), spawn.c (processes), reload.c,
 * orders.c (signals, control requests), gather.c (status, explain), upgrade.c (the old side of a binary upgrade) and
 * successor.c (the new side).
 */
#ifndef SP_PROCESS_MASTER_H
#define SP_PROCESS_MASTER_H

#include "cli/options.h"
#include "process/channel.h"
#include "process/control.h"
#include "process/plan.h"
#include "process/process.h"
#include "process/sockets.h"

struct event;
struct event_base;
struct sp_bus_shared;
struct sp_gather;
struct sp_master;
struct sp_reload;
struct sp_successor;
struct sp_upgrade;

enum sp_slot_state {
    SP_SLOT_EMPTY,
    SP_SLOT_STARTING, /* forked */
    SP_SLOT_UP,       /* said READY */
    SP_SLOT_WAITING,  /* died; the next try is timed */
};

struct sp_slot { /* a place for a process */
    struct sp_master    *master;
    enum sp_process_kind kind;
    unsigned             index;
    enum sp_slot_state   state;
    pid_t                pid;
    uint32_t             epoch;
    unsigned             respawns, failures; /* failures: in a row */
    uint64_t             started_ms;
    uint64_t             generation; /* that it serves */
    bool                 accepting, told_to_end;
    bool                 asked, prepared, committed; /* in the reload that runs */
    struct sp_channel   *channel;
    struct event        *respawn;
};

enum sp_phase {
    SP_PHASE_START,
    SP_PHASE_RUN,
    SP_PHASE_QUIT, /* gracefully: workers drain, then the keeper */
    SP_PHASE_STOP, /* now: as above, without the draining */
};

struct sp_master {
    const struct sp_options  *options;
    const struct sp_registry *registry;
    struct event_base        *base;
    enum sp_phase             phase;
    int                       exit_code;
    uint64_t                  generation, started_ms;
    struct sp_plan           *plan;
    int                       bundle;
    struct sp_sockets        *sockets;
    struct sp_process_log    *logs;
    unsigned                  nlogs;
    struct sp_bus_shared     *bus;
    struct sp_metrics        *metrics;
    int                      *metric_base;
    int                       router_metrics;
    uint8_t                   ticket_secret[32];
    struct sp_slot           *slots; /* workers, then the keeper */
    unsigned                  nslots;
    struct sp_control        *control;
    struct sp_reload         *reload;
    struct sp_gather         *gathers;
    struct sp_upgrade        *upgrade;     /* we are being replaced */
    struct sp_successor      *successor;   /* we replace another */
    bool                      handed_over; /* pid file and control socket are a successor's */
    struct event             *signals[8], *end_timer;
    struct sp_client         *enders[16]; /* control clients that wait for our end */
    unsigned                  nenders;
    int                       parent_pipe; /* daemon: who started us waits here; -1 */
    uint32_t                  last_request;
    char                     *binary; /* the path that we were started from */
};

/* Runs the gateway; the exit code of the program. */
enum sp_exit sp_master_main(const struct sp_options *o, const struct sp_registry *r);

/* -- master.c -- */
/* Every worker accepts, the keeper is up: says so, once. Called whenever that may have come true. */
void sp_master_check_ready(struct sp_master *m);
/* A log line for each line of the text; level: enum sp_log_level. */
void sp_master_log_lines(int level, const char *text);
/* Control socket and pid file are ours from now on. 0 or negative errno, logged. */
int sp_master_take_names(struct sp_master *m);
/* Opens every log of the plan: 0 and *out, or negative errno with *error. */
int  sp_master_open_logs(const struct sp_plan *plan, struct sp_process_log **out, char **error);
void sp_master_free_logs(struct sp_process_log *logs, unsigned n);
/* Begins to use these (taken over) and gives them to every process. */
void sp_master_use_logs(struct sp_master *m, struct sp_process_log *logs, unsigned n, unsigned level);

/* -- spawn.c -- */
int  sp_spawn_slots(struct sp_master *m);
int  sp_spawn(struct sp_slot *s);
void sp_spawn_reap(struct sp_master *m); /* after SIGCHLD */
void sp_spawn_free(struct sp_master *m);
/* Sends to every process that has a channel. */
void        sp_spawn_broadcast(struct sp_master *m, enum sp_channel_type type, struct sp_str body);
unsigned    sp_spawn_alive(const struct sp_master *m, enum sp_process_kind kind);
const char *sp_slot_name(const struct sp_slot *s, char *dst, size_t cap);

/* -- reload.c -- */
/* Starts a reload, or lets one follow that which runs. client: who waits for the verdict; NULL: a signal. */
void sp_reload_request(struct sp_master *m, struct sp_client *client);
bool sp_reload_runs(const struct sp_master *m);
void sp_reload_message(struct sp_slot *s, const struct sp_channel_message *msg);
/* Something about this slot has changed: it is up, or it died. */
void sp_reload_slot_up(struct sp_slot *s);
void sp_reload_slot_died(struct sp_slot *s);
/* Ends all of it with this reason: the gateway is going. */
void sp_reload_cancel(struct sp_master *m, const char *why);
void sp_reload_free(struct sp_master *m);

/* -- orders.c -- */
int  sp_orders_signals(struct sp_master *m);
void sp_orders_free(struct sp_master *m);
void sp_orders_request(void *arg, struct sp_client *c, char *const *args, unsigned n);
int  sp_orders_reopen(struct sp_master *m, char **error);
/* Begins the end. Graceful, or now; now overtakes graceful. */
void sp_orders_end(struct sp_master *m, enum sp_phase phase);
/* A process has gone while we are ending. */
void sp_orders_step(struct sp_master *m);

/* -- gather.c -- */
void sp_gather_status(struct sp_master *m, struct sp_client *c);
void sp_gather_ask(struct sp_master *m, struct sp_client *c, char *const *args, unsigned n);
void sp_gather_reply(struct sp_slot *s, const struct sp_channel_message *msg);
void sp_gather_slot_died(struct sp_slot *s);
void sp_gather_free(struct sp_master *m);

/* -- upgrade.c -- */
void sp_upgrade_request(struct sp_master *m, struct sp_client *client);
void sp_upgrade_slot_gone(struct sp_slot *s);
bool sp_upgrade_reaped(struct sp_master *m, pid_t pid, int status);
void sp_upgrade_free(struct sp_master *m);

/* -- successor.c -- */
/* Are we started as one? Then takes over the listeners, generation and secret: 1 and *inherited; 0 if not; negative errno. */
int sp_successor_join(struct sp_master *m, struct sp_sockets **inherited);
/* Can this plan take over from the old one? 0, or -EINVAL and *error. */
int  sp_successor_check(struct sp_master *m, char **error);
void sp_successor_failed(struct sp_master *m, const char *text);
void sp_successor_slot_up(struct sp_slot *s);
void sp_successor_ready(struct sp_master *m);
void sp_successor_free(struct sp_master *m);

#endif
