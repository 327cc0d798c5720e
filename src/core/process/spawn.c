/* The processes of the gateway: started, watched, started again. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/bus_shared.h"
#include "process/child.h"
#include "process/daemon.h"
#include "process/fork.h"
#include "process/master.h"

#define SHORT_LIFE_MS    5000u /* who dies younger waits before he is started again */
#define BACKOFF_FIRST_MS 50u
#define BACKOFF_MAX_MS   5000u
#define START_TRIES      6u /* of one process, before the gateway gives up to start */

const char *
sp_slot_name(const struct sp_slot *s, char *dst, size_t cap)
{
    if (s->kind == SP_WORKER) {
        snprintf(dst, cap, "worker%u", s->index);
    } else {
        snprintf(dst, cap, "keeper");
    }
    return dst;
}

unsigned
sp_spawn_alive(const struct sp_master *m, enum sp_process_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->nslots; i++) {
        n += m->slots[i].kind == kind && m->slots[i].pid > 0;
    }
    return n;
}

void
sp_spawn_broadcast(struct sp_master *m, enum sp_channel_type type, struct sp_str body)
{
    for (unsigned i = 0; i < m->nslots; i++) {
        if (m->slots[i].channel != NULL) {
            (void)sp_channel_send(m->slots[i].channel, type, 0, body, NULL, 0);
        }
    }
}

/* -- what a process says -- */

static void
send_peer(struct sp_slot *to, enum sp_channel_type type, const struct sp_slot *about)
{
    struct sp_pack body = {0};

    sp_pack_u32(&body, about->index);
    sp_pack_u32(&body, about->epoch);
    (void)sp_channel_send(to->channel, type, 0, (struct sp_str){body.p, body.n}, NULL, 0);
    sp_pack_free(&body);
}

static void
tell_others(struct sp_slot *s, enum sp_channel_type type)
{
    for (unsigned i = 0; i < s->master->nslots; i++) {
        struct sp_slot *other = &s->master->slots[i];
        if (other != s && other->state == SP_SLOT_UP) {
            send_peer(other, type, s);
        }
    }
}

static void
send_peers(struct sp_slot *s)
{
    struct sp_pack body = {0};
    uint32_t       n = 0;

    for (unsigned i = 0; i < s->master->nslots; i++) {
        n += &s->master->slots[i] != s && s->master->slots[i].state == SP_SLOT_UP;
    }
    sp_pack_u32(&body, n);
    for (unsigned i = 0; i < s->master->nslots; i++) {
        const struct sp_slot *other = &s->master->slots[i];
        if (other != s && other->state == SP_SLOT_UP) {
            sp_pack_u32(&body, other->index);
            sp_pack_u32(&body, other->epoch);
        }
    }
    (void)sp_channel_send(s->channel, SP_MSG_PEERS, 0, (struct sp_str){body.p, body.n}, NULL, 0);
    sp_pack_free(&body);
}

static void
on_ready(struct sp_slot *s)
{
    char name[16];

    if (s->state != SP_SLOT_STARTING) {
        return;
    }
    s->state = SP_SLOT_UP;
    tell_others(s, SP_MSG_UP);
    send_peers(s);
    sp_log(s->respawns > 0 ? SP_LOG_NOTICE : SP_LOG_INFO, "%s is up, pid %d, generation %llu",
           sp_slot_name(s, name, sizeof name), (int)s->pid, (unsigned long long)s->generation);
    if (s->master->successor != NULL) {
        sp_successor_slot_up(s);
    }
    sp_reload_slot_up(s);
    sp_master_check_ready(s->master);
}

static void
on_message(void *arg, const struct sp_channel_message *msg)
{
    struct sp_slot *s = arg;

    switch (msg->type) {
    case SP_MSG_READY:
        on_ready(s);
        break;
    case SP_MSG_ACCEPTING:
        s->accepting = true;
        sp_master_check_ready(s->master);
        break;
    case SP_MSG_PREPARED:
    case SP_MSG_FAILED:
    case SP_MSG_COMMITTED:
        sp_reload_message(s, msg);
        break;
    case SP_MSG_REPLY:
        sp_gather_reply(s, msg);
        break;
    default: {
        char name[16];
        sp_log(SP_LOG_ALERT, "%s sent a message of type %d, which is not for the master",
               sp_slot_name(s, name, sizeof name), (int)msg->type);
    }
    }
}

/* The process has gone (SIGCHLD follows), or it breaks the rules and has to. */
static void
on_closed(void *arg, int err)
{
    struct sp_slot *s = arg;

    if (err < 0) {
        char name[16];
        sp_log(SP_LOG_ALERT, "%s, pid %d: malformed message on its channel: %s; it is killed",
               sp_slot_name(s, name, sizeof name), (int)s->pid, strerror(-err));
        kill(s->pid, SIGKILL);
    }
}

/* -- start -- */

static int
copy_logs(const struct sp_master *m, struct sp_launch *l)
{
    l->logs = calloc(m->nlogs + 1u, sizeof *l->logs);
    if (l->logs == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < m->nlogs; i++) {
        l->logs[i].path = strdup(m->logs[i].path);
        l->logs[i].fd = m->logs[i].fd;
        if (l->logs[i].path == NULL) {
            return -ENOMEM;
        }
    }
    l->nlogs = m->nlogs;
    return 0;
}

/* In the child: nothing of the master's but what the launch names. */
static void
close_masters(const struct sp_launch *l)
{
    size_t n = 0, most = 4u + l->nlisteners + l->nlogs + l->bus->slots;
    int   *keep = calloc(most, sizeof *keep);

    if (keep == NULL) {
        _exit(SP_CHILD_FAILED);
    }
    keep[n++] = l->channel;
    keep[n++] = l->bundle;
    for (unsigned i = 0; i < l->nlisteners; i++) {
        keep[n++] = l->listeners[i];
    }
    for (unsigned i = 0; i < l->nlogs; i++) {
        keep[n++] = l->logs[i].fd;
    }
    for (unsigned i = 0; i < l->bus->slots; i++) {
        keep[n++] = l->bus->doorbells[i];
    }
    sp_close_others(keep, n);
    free(keep);
}

static _Noreturn void
become_child(struct sp_slot *s, int channel, pid_t parent)
{
    struct sp_master *m = s->master;
    struct sp_launch  l = {
         .kind = s->kind,
         .slot = s->index,
         .epoch = s->epoch,
         .generation = m->generation,
         .parent = parent,
         .channel = channel,
         .bundle = m->bundle,
         .options = m->options,
         .registry = m->registry,
         .plan = m->plan,
         .bus = m->bus,
         .metrics = m->metrics,
         .metric_base = m->metric_base,
         .router_metrics = m->router_metrics,
         .ticket_secret = m->ticket_secret,
    };

    if (s->kind == SP_WORKER) {
        l.nlisteners = m->sockets->count;
        l.listeners = calloc(l.nlisteners + 1u, sizeof *l.listeners);
        if (l.listeners == NULL) {
            _exit(SP_CHILD_FAILED);
        }
        sp_sockets_of(m->sockets, s->index, l.listeners);
    }
    if (copy_logs(m, &l) < 0) {
        _exit(SP_CHILD_FAILED);
    }
    /* libevent keeps one base per process for signals: the copy of the master's is given up without touching what it shares */
    (void)event_reinit(m->base);
    event_base_free(m->base);
    close_masters(&l);
    if (m->plan->daemon) {
        sp_daemon_detach(strcmp(m->plan->logs[0], "stderr") == 0);
    }
    exit(sp_child_main(&l));
}

int
sp_spawn(struct sp_slot *s)
{
    struct sp_master *m = s->master;
    pid_t             parent = getpid();
    int               ends[2];

    int err = sp_channel_pair(ends);
    if (err < 0) {
        return err;
    }
    s->epoch++;
    fflush(NULL);
    pid_t pid = sp_fork();
    if (pid == 0) {
        close(ends[0]);
        become_child(s, ends[1], parent);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return (int)pid;
    }
    s->pid = pid;
    s->state = SP_SLOT_STARTING;
    s->generation = m->generation;
    s->started_ms = sp_clock_ms();
    s->accepting = s->told_to_end = s->asked = s->prepared = s->committed = false;
    err = sp_channel_create(m->base, ends[0], on_message, on_closed, s, &s->channel);
    if (err < 0) { /* it sees the end of its channel and goes; SIGCHLD brings the next try */
        s->channel = NULL;
    }
    return 0;
}

/* -- again -- */

static void on_respawn(evutil_socket_t fd, short what, void *arg);

static void
respawn_in(struct sp_slot *s, unsigned ms)
{
    const struct timeval after = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};

    s->state = SP_SLOT_WAITING;
    event_add(s->respawn, &after);
}

static void
on_respawn(evutil_socket_t fd, short what, void *arg)
{
    struct sp_slot *s = arg;
    char            name[16];
    (void)fd;
    (void)what;

    sp_clock_update();
    if (s->state != SP_SLOT_WAITING || s->master->phase >= SP_PHASE_QUIT) {
        return;
    }
    s->respawns++;
    int err = sp_spawn(s);
    if (err < 0) {
        sp_log(SP_LOG_CRIT, "cannot start %s: %s; the next try is in %u ms", sp_slot_name(s, name, sizeof name),
               strerror(-err), BACKOFF_MAX_MS);
        respawn_in(s, BACKOFF_MAX_MS);
    }
}

static void
plan_respawn(struct sp_slot *s, bool hopeless)
{
    struct sp_master *m = s->master;
    bool              young = sp_clock_ms() - s->started_ms < SHORT_LIFE_MS;
    unsigned          wait_ms = 0;
    char              name[16];

    s->failures = young ? s->failures + 1 : 0;
    if (m->phase == SP_PHASE_START && (hopeless || s->failures >= START_TRIES)) {
        sp_log(SP_LOG_EMERG, "%s cannot be started", sp_slot_name(s, name, sizeof name));
        m->exit_code = SP_EXIT_FAILURE;
        sp_successor_failed(m, "a process cannot be started: see the error log");
        sp_orders_end(m, SP_PHASE_STOP);
        return;
    }
    if (hopeless) {
        wait_ms = BACKOFF_MAX_MS;
    } else if (s->failures > 1) {
        unsigned doublings = s->failures - 2 > 10 ? 10 : s->failures - 2;
        wait_ms = BACKOFF_FIRST_MS << doublings;
        if (wait_ms > BACKOFF_MAX_MS) {
            wait_ms = BACKOFF_MAX_MS;
        }
    }
    respawn_in(s, wait_ms);
}

static void
died(struct sp_slot *s, int status)
{
    struct sp_master *m = s->master;
    bool              was_up = s->state == SP_SLOT_UP, expected = s->told_to_end || m->phase >= SP_PHASE_QUIT;
    char              name[16], how[96];

    sp_slot_name(s, name, sizeof name);
    sp_exit_text(how, sizeof how, status);
    if (expected && WIFEXITED(status) && WEXITSTATUS(status) == SP_CHILD_OK) {
        sp_log(SP_LOG_INFO, "%s, pid %d, has ended", name, (int)s->pid);
    } else {
        sp_log(SP_LOG_ERROR, "%s, pid %d, %s", name, (int)s->pid, how);
    }
    sp_channel_destroy(s->channel);
    s->channel = NULL;
    s->pid = 0;
    s->state = SP_SLOT_EMPTY;
    s->accepting = false;
    if (was_up) {
        tell_others(s, SP_MSG_DOWN);
    }
    sp_gather_slot_died(s);
    sp_reload_slot_died(s);
    if (m->phase >= SP_PHASE_QUIT) {
        sp_orders_step(m);
    } else if (s->told_to_end && m->upgrade != NULL) {
        sp_upgrade_slot_gone(s);
    } else {
        plan_respawn(s, WIFEXITED(status) && WEXITSTATUS(status) == SP_CHILD_HOPELESS);
    }
}

void
sp_spawn_reap(struct sp_master *m)
{
    for (;;) {
        int   status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            return;
        }
        if (sp_upgrade_reaped(m, pid, status)) {
            continue;
        }
        for (unsigned i = 0; i < m->nslots; i++) {
            if (m->slots[i].pid == pid) {
                died(&m->slots[i], status);
                break;
            }
        }
    }
}

int
sp_spawn_slots(struct sp_master *m)
{
    m->nslots = m->plan->workers + 1;
    m->slots = calloc(m->nslots, sizeof *m->slots);
    if (m->slots == NULL) {
        m->nslots = 0;
        return -ENOMEM;
    }
    for (unsigned i = 0; i < m->nslots; i++) {
        struct sp_slot *s = &m->slots[i];
        *s = (struct sp_slot){.master = m, .index = i, .kind = i < m->plan->workers ? SP_WORKER : SP_KEEPER};
        s->respawn = evtimer_new(m->base, on_respawn, s);
        if (s->respawn == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

void
sp_spawn_free(struct sp_master *m)
{
    for (unsigned i = 0; i < m->nslots; i++) {
        sp_channel_destroy(m->slots[i].channel);
        if (m->slots[i].respawn != NULL) {
            event_free(m->slots[i].respawn);
        }
    }
    free(m->slots);
    m->slots = NULL;
    m->nslots = 0;
}
