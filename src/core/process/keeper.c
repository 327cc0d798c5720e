#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/module.h"
#include "conf/registry.h"
#include "process/child.h"
#include "store/names.h"
#include "store/retained.h"
#include "store/store.h"

/* How long a predecessor on the same data_dir may take to let go of it. */
#define LOCK_WAIT_MS 10000u

int
sp_keeper_start(struct sp_self *self)
{
    struct sp_process *p = &self->p;

    int err = sp_store_start(p, self->launch->plan->data_dir, LOCK_WAIT_MS, &p->store);
    if (err == 0) {
        err = sp_registrar_start(p, &p->registrar);
    }
    if (err == 0) {
        err = sp_shelf_start(p, &p->shelf);
    }
    return err;
}

void
sp_keeper_stop(struct sp_self *self)
{
    struct sp_process *p = &self->p;

    sp_child_stop_modules(self);
    /* first the store: what it commits at the end is still reported to those who wait for it */
    if (p->store != NULL) {
        sp_store_stop(p->store);
    }
    if (p->shelf != NULL) {
        sp_shelf_stop(p->shelf);
    }
    if (p->registrar != NULL) {
        sp_registrar_stop(p->registrar);
    }
}

void
sp_keeper_peer_up(struct sp_process *p, unsigned slot)
{
    for (unsigned i = 0; i < sp_registry_modules(p->registry); i++) {
        const struct sp_module *m = sp_registry_module(p->registry, i);
        if (m->peer_up != NULL) {
            m->peer_up(p, slot);
        }
    }
}

void
sp_keeper_peer_down(struct sp_process *p, unsigned slot)
{
    if (p->registrar != NULL) {
        sp_registrar_peer_down(p->registrar, slot);
    }
    if (p->shelf != NULL) {
        sp_shelf_peer_down(p->shelf, slot);
    }
    for (unsigned i = 0; i < sp_registry_modules(p->registry); i++) {
        const struct sp_module *m = sp_registry_module(p->registry, i);
        if (m->peer_down != NULL) {
            m->peer_down(p, slot);
        }
    }
}
