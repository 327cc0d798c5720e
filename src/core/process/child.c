#include "process/child.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/bundle.h"
#include "conf/module.h"
#include "conf/registry.h"
#include "net/bus.h"
#include "net/conn.h"
#include "net/router.h"
#include "net/trust.h"
#include "process/privileges.h"
#include "store/names.h"

void
sp_child_end(struct sp_self *self, int exit_code)
{
    self->p.stopping = true;
    self->done = true;
    self->exit_code = exit_code;
}

void
sp_child_send(struct sp_self *self, enum sp_channel_type type, uint32_t id, struct sp_str body)
{
    int err = sp_channel_send(self->p.channel, type, id, body, NULL, 0);

    if (err < 0 && err != -EPIPE) {
        sp_log(SP_LOG_CRIT, "cannot answer the master: %s", strerror(-err));
        sp_child_end(self, SP_CHILD_FAILED);
    }
}

/* -- messages of the master -- */

static void
peers(struct sp_self *self, struct sp_unpack u)
{
    uint32_t n = sp_unpack_u32(&u);

    for (uint32_t i = 0; i < n && !u.failed; i++) {
        uint32_t slot = sp_unpack_u32(&u), epoch = sp_unpack_u32(&u);
        if (!u.failed && slot <= self->p.workers && slot != self->p.slot) {
            sp_bus_peer_up(self->p.bus, slot, epoch);
        }
    }
    if (self->p.router != NULL) {
        sp_router_peers_known(self->p.router);
    }
    if (self->p.registrar != NULL) {
        sp_registrar_peers_known(self->p.registrar);
    }
}

static void
peer(struct sp_self *self, enum sp_channel_type type, struct sp_unpack u)
{
    uint32_t slot = sp_unpack_u32(&u), epoch = sp_unpack_u32(&u);

    if (!sp_unpack_whole(&u) || slot > self->p.workers || slot == self->p.slot) {
        return;
    }
    if (type == SP_MSG_UP) {
        sp_bus_peer_up(self->p.bus, slot, epoch);
    } else {
        sp_bus_peer_down(self->p.bus, slot, epoch);
    }
}

static void
free_logs(struct sp_process *p)
{
    for (unsigned i = 0; i < p->nlogs; i++) {
        if (p->logs[i].fd >= 0) {
            close(p->logs[i].fd);
        }
        free(p->logs[i].path);
    }
    free(p->logs);
    p->logs = NULL;
    p->nlogs = 0;
}

/* The error log's descriptor belongs to base/log; the list keeps a duplicate. */
static void
reopen(struct sp_self *self, const struct sp_channel_message *m)
{
    struct sp_unpack       u = {m->body.p, m->body.n, false};
    uint32_t               level = sp_unpack_u32(&u), n = sp_unpack_u32(&u);
    struct sp_process_log *logs;

    if (u.failed || n == 0 || n != m->nfds || n > SP_PLAN_LOGS_MAX || level > SP_LOG_DEBUG) {
        return;
    }
    logs = calloc(n, sizeof *logs);
    if (logs == NULL) {
        return;
    }
    free_logs(&self->p);
    for (uint32_t i = 0; i < n; i++) {
        logs[i].path = sp_unpack_text(&u);
        logs[i].fd = m->fds[i];
        m->fds[i] = -1;
    }
    self->p.logs = logs;
    self->p.nlogs = n;
    self->p.logs_version++;
    int fd = dup(logs[0].fd);
    if (fd >= 0) {
        sp_log_use_fd(fd, (enum sp_log_level)level);
    }
}

static void
on_message(void *arg, const struct sp_channel_message *m)
{
    struct sp_self  *self = arg;
    struct sp_unpack u = {m->body.p, m->body.n, false};

    sp_clock_update();
    switch (m->type) {
    case SP_MSG_PEERS:
        peers(self, u);
        break;
    case SP_MSG_UP:
    case SP_MSG_DOWN:
        peer(self, m->type, u);
        break;
    case SP_MSG_PREPARE:
        sp_prepare_start(self, m);
        break;
    case SP_MSG_COMMIT:
        sp_prepare_commit(self);
        break;
    case SP_MSG_ABORT:
        sp_prepare_abort(self);
        break;
    case SP_MSG_REOPEN:
        reopen(self, m);
        break;
    case SP_MSG_REQUEST:
        sp_request_answer(self, m);
        break;
    case SP_MSG_PAUSE:
    case SP_MSG_RESUME:
        self->paused = m->type == SP_MSG_PAUSE;
        sp_worker_accept(self, !self->paused);
        break;
    case SP_MSG_QUIT:
        if (self->p.kind == SP_WORKER) {
            sp_worker_quit(self, sp_unpack_u64(&u));
            break;
        }
        sp_child_end(self, SP_CHILD_OK);
        break;
    case SP_MSG_STOP:
        sp_child_end(self, SP_CHILD_OK);
        break;
    default:
        sp_log(SP_LOG_ALERT, "the master sent a message of unknown type %d", (int)m->type);
        break;
    }
}

static void
on_closed(void *arg, int err)
{
    if (err < 0) {
        sp_log(SP_LOG_ALERT, "the channel to the master broke: %s", strerror(-err));
    }
    sp_child_end(arg, SP_CHILD_FAILED);
}

/* -- start -- */

static int
build_snapshot(struct sp_self *self)
{
    const struct sp_launch    *l = self->launch;
    struct sp_snapshot_options o = {l->options->prefix, l->options->conf, l->options->extra, l->generation, false};
    struct sp_source          *source;
    char                      *errors = NULL;

    sp_trust_ticket_secret(l->ticket_secret);
    int err = sp_source_bundle(l->bundle, &source);
    if (err == 0) {
        err = sp_snapshot_build(l->registry, source, &o, &self->p.snapshot, &errors);
        sp_source_close(source);
    }
    if (err < 0) {
        sp_log(SP_LOG_EMERG, "cannot build the configuration that the probe has built: %s",
               errors != NULL ? errors : strerror(-err));
    }
    free(errors);
    close(l->bundle);
    return err;
}

static void
init_process(struct sp_self *self)
{
    const struct sp_launch *l = self->launch;
    struct sp_process      *p = &self->p;

    p->kind = l->kind;
    p->slot = l->slot;
    p->epoch = l->epoch;
    p->workers = l->plan->workers;
    p->registry = l->registry;
    p->metrics = l->metrics;
    p->metric_base = l->metric_base;
    p->router_metrics = l->router_metrics;
    p->logs = l->logs;
    p->nlogs = l->nlogs;
    self->generation = l->generation;
    sp_metrics_attach(p->metrics, p->slot);
}

static int
start_common(struct sp_self *self)
{
    struct sp_process *p = &self->p;
    unsigned           modules = sp_registry_modules(p->registry);

    p->base = event_base_new();
    p->module = calloc(modules + 1, sizeof *p->module);
    if (p->base == NULL || p->module == NULL) {
        return -ENOMEM;
    }
    int err = sp_wheel_create(p->base, &p->wheel);
    if (err == 0) {
        err = build_snapshot(self);
    }
    if (err == 0) {
        err = sp_bus_create(p, self->launch->bus, p->slot, p->epoch, p->base, &p->bus);
    }
    if (err == 0) {
        bool worker = p->kind == SP_WORKER;
        sp_bus_on_peer(p->bus, worker ? sp_worker_peer_up : sp_keeper_peer_up,
                       worker ? sp_worker_peer_down : sp_keeper_peer_down);
        err = sp_channel_create(p->base, self->launch->channel, on_message, on_closed, self, &p->channel);
    }
    return err == 0 ? sp_prepare_create(self) : err;
}

static int
start_modules(struct sp_self *self)
{
    struct sp_process *p = &self->p;

    for (unsigned i = 0; i < sp_registry_modules(p->registry); i++) {
        const struct sp_module *m = sp_registry_module(p->registry, i);
        int                     err = m->start == NULL ? 0 : m->start(p);
        if (err < 0) {
            sp_log(SP_LOG_EMERG, "module %s cannot start: %s", m->name, strerror(-err));
            return err;
        }
        self->modules_started = i + 1;
    }
    return 0;
}

void
sp_child_stop_modules(struct sp_self *self)
{
    for (unsigned i = self->modules_started; i > 0; i--) {
        const struct sp_module *m = sp_registry_module(self->p.registry, i - 1);
        if (m->stop != NULL) {
            m->stop(&self->p);
        }
    }
    self->modules_started = 0;
}

static int
start(struct sp_self *self)
{
    int err = start_common(self);

    if (err == 0) {
        sp_process_hold(&self->p); /* until everything here has started */
        err = self->p.kind == SP_WORKER ? sp_worker_start(self) : sp_keeper_start(self);
    }
    if (err == 0) {
        err = start_modules(self);
    }
    return err == 0 && self->p.kind == SP_WORKER ? sp_worker_finish_start(self) : err;
}

/* -- the loop -- */

static bool
end_turn(struct sp_process *p)
{
    bool more = sp_process_run_later(p);

    if (p->net != NULL) {
        sp_net_flush(p->net);
    }
    sp_bus_flush(p->bus);
    return more || p->later_first != NULL;
}

static void
run(struct sp_self *self)
{
    struct sp_process *p = &self->p;
    struct sp_pack     body = {0};

    sp_pack_u64(&body, self->generation);
    sp_child_send(self, SP_MSG_READY, 0, (struct sp_str){body.p, body.n});
    sp_pack_free(&body);
    self->ready = true;
    sp_process_release(p);
    while (!self->done) {
        bool more = end_turn(p);
        if (event_base_loop(p->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0)) < 0) {
            sp_log(SP_LOG_EMERG, "the event loop failed");
            self->exit_code = SP_CHILD_FAILED;
            break;
        }
        sp_clock_update();
    }
}

/* In the reverse order of the start; what never started is NULL. */
static void
finish(struct sp_self *self)
{
    struct sp_process *p = &self->p;

    p->stopping = true;
    p->unheld = NULL;
    if (p->bus != NULL) {
        sp_prepare_destroy(self);
        if (p->kind == SP_WORKER) {
            sp_worker_stop(self);
        } else {
            sp_keeper_stop(self);
        }
        while (sp_process_run_later(p)) {
        }
        sp_bus_flush(p->bus);
    }
    if (p->channel != NULL) {
        sp_channel_drain(p->channel, 1000);
        sp_channel_destroy(p->channel);
    }
    sp_bus_destroy(p->bus);
    if (p->snapshot != NULL) {
        sp_snapshot_unref(p->snapshot);
    }
    if (p->wheel != NULL) {
        sp_wheel_destroy(p->wheel);
    }
    sp_process_forget_later(p);
    sp_outq_pool_clear(&p->outq_pool);
    free(p->module);
    free_logs(p);
    free(self->launch->listeners);
    if (p->base != NULL) {
        event_base_free(p->base);
    }
}

static void
on_term(evutil_socket_t number, short what, void *arg)
{
    (void)number;
    (void)what;
    sp_child_end(arg, SP_CHILD_OK);
}

int
sp_child_main(const struct sp_launch *launch)
{
    struct sp_self self = {.launch = launch};
    struct event  *term = NULL;
    char           name[16];

    if (launch->kind == SP_WORKER) {
        snprintf(name, sizeof name, "worker%u", launch->slot);
    } else {
        snprintf(name, sizeof name, "keeper");
    }
    sp_log_ident(name);
    sp_clock_update();
    /* a terminal's Ctrl-C goes to all: the master decides */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);

    init_process(&self);
    int err = sp_privileges_drop(launch->plan, launch->parent);
    if (err == -ESRCH) {
        return SP_CHILD_FAILED;
    }
    if (err == 0) {
        err = start(&self);
    }
    if (err < 0) {
        sp_log(SP_LOG_EMERG, "cannot start: %s", strerror(-err));
        self.exit_code = err == -ENOMEM || err == -ESRCH ? SP_CHILD_FAILED : SP_CHILD_HOPELESS;
    } else {
        term = evsignal_new(self.p.base, SIGTERM, on_term, &self);
        if (term == NULL || event_add(term, NULL) < 0) {
            self.exit_code = SP_CHILD_FAILED;
        } else {
            run(&self);
        }
    }
    if (term != NULL) {
        event_free(term);
    }
    finish(&self);
    return self.exit_code;
}
