#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/module.h"
#include "conf/registry.h"
#include "net/bus.h"
#include "net/conn.h"
#include "net/router.h"
#include "process/child.h"
#include "store/names.h"
#include "store/retained.h"

static void
unheld(struct sp_process *p)
{
    struct sp_self *self = sp_self(p);

    if (!p->stopping) {
        sp_worker_accept(self, !self->paused);
    }
}

void
sp_worker_accept(struct sp_self *self, bool on)
{
    if (self->p.kind != SP_WORKER || self->p.net == NULL || (on && (self->p.holds > 0 || self->p.stopping))) {
        return;
    }
    sp_net_accept(self->p.net, on);
    self->accepting = on;
    if (on && !self->opened) {
        self->opened = true;
        sp_child_send(self, SP_MSG_ACCEPTING, 0, SP_STR(""));
    }
}

/* The registry wants a name back for a newer claim, and no module has said how its sessions are to be told. */
static void
kicked(struct sp_process *p, uint64_t owner)
{
    struct sp_conn *c = sp_net_find(p->net, owner);

    if (c != NULL) {
        sp_conn_close(c, SP_CLOSE_TAKEOVER);
    }
}

int
sp_worker_start(struct sp_self *self)
{
    struct sp_process *p = &self->p;

    p->unheld = unheld;
    sp_process_hold(p); /* until the keeper is there */
    int err = sp_net_start(p, &p->net);
    if (err == 0) {
        err = sp_net_listen(p->net, self->launch->listeners, self->launch->nlisteners);
    }
    if (err == 0) {
        err = sp_router_start(p, &p->router);
    }
    if (err == 0) {
        err = sp_retained_start(p, &p->retained);
    }
    return err;
}

int
sp_worker_finish_start(struct sp_self *self)
{
    struct sp_process *p = &self->p;

    return p->names == NULL ? sp_names_start(p, kicked, &p->names) : 0;
}

static void
drained(struct sp_process *p)
{
    sp_child_end(sp_self(p), SP_CHILD_OK);
}

void
sp_worker_quit(struct sp_self *self, uint64_t drain_ms)
{
    if (self->p.stopping) {
        return;
    }
    self->p.stopping = true;
    sp_net_accept(self->p.net, false);
    self->accepting = false;
    if (self->p.names != NULL && !sp_bus_peer_is_up(self->p.bus, self->p.workers)) {
        sp_names_alone(self->p.names); /* the keeper made way for a successor's */
    }
    sp_net_drain(self->p.net, drain_ms, drained);
}

void
sp_worker_stop(struct sp_self *self)
{
    struct sp_process *p = &self->p;

    sp_child_stop_modules(self);
    if (p->net != NULL) {
        sp_net_stop(p->net);
        p->net = NULL;
    }
    while (sp_process_run_later(p)) {
    }
    if (p->retained != NULL) {
        sp_retained_stop(p->retained);
    }
    if (p->names != NULL) {
        sp_names_stop(p->names);
    }
    if (p->router != NULL) {
        sp_router_stop(p->router);
    }
}

void
sp_worker_peer_up(struct sp_process *p, unsigned slot)
{
    struct sp_self *self = sp_self(p);

    if (slot == p->workers) {
        if (p->names != NULL) {
            sp_names_keeper_up(p->names);
        }
        if (p->retained != NULL) {
            sp_retained_keeper_up(p->retained);
        }
    }
    if (p->router != NULL) {
        sp_router_peer_up(p->router, slot);
    }
    for (unsigned i = 0; i < sp_registry_modules(p->registry); i++) {
        const struct sp_module *m = sp_registry_module(p->registry, i);
        if (m->peer_up != NULL) {
            m->peer_up(p, slot);
        }
    }
    if (slot == p->workers && !self->keeper_seen) {
        self->keeper_seen = true;
        sp_process_release(p);
    }
}

void
sp_worker_peer_down(struct sp_process *p, unsigned slot)
{
    if (p->router != NULL) {
        sp_router_peer_down(p->router, slot);
    }
    for (unsigned i = 0; i < sp_registry_modules(p->registry); i++) {
        const struct sp_module *m = sp_registry_module(p->registry, i);
        if (m->peer_down != NULL) {
            m->peer_down(p, slot);
        }
    }
}
