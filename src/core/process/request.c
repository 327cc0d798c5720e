/* What the master asks on behalf of a control client. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/explain.h"
#include "conf/module.h"
#include "conf/registry.h"
#include "net/bus.h"
#include "net/conn.h"
#include "net/router.h"
#include "process/child.h"
#include "process/status.h"
#include "store/names.h"
#include "store/retained.h"
#include "store/store.h"

#define ARGS_MAX 16

static void
reply(struct sp_self *self, uint32_t id, uint32_t code, struct sp_str text)
{
    struct sp_pack body = {0};

    sp_pack_u32(&body, code);
    sp_pack_str(&body, text);
    if (body.failed) {
        sp_log(SP_LOG_ERROR, "out of memory for an answer");
    } else {
        sp_child_send(self, SP_MSG_REPLY, id, (struct sp_str){body.p, body.n});
    }
    sp_pack_free(&body);
}

static void
add_process(struct sp_self *self, struct sp_status *s)
{
    struct sp_process *p = &self->p;

    sp_status_num(s, "pid", getpid());
    sp_status_num(s, "generation", (int64_t)self->generation);
    sp_status_num(s, "snapshots", sp_snapshots_live());
    sp_status_num(s, "bus_queued_bytes", (int64_t)sp_bus_queued_bytes(p->bus));
    if (p->kind == SP_WORKER) {
        sp_status_str(s, "state",
                      self->accepting ? SP_STR("accepting")
                      : p->stopping   ? SP_STR("draining")
                                      : SP_STR("holding"));
        sp_status_num(s, "connections", sp_net_count(p->net));
        sp_status_num(s, "subscriptions", sp_router_subscriptions(p->router));
        return;
    }
    sp_status_str(s, "state", SP_STR("serving"));
    sp_status_num(s, "names", sp_registrar_count(p->registrar));
    sp_status_num(s, "retained", (int64_t)sp_shelf_count(p->shelf));
    sp_status_num(s, "retained_bytes", (int64_t)sp_shelf_bytes(p->shelf));
    sp_status_num(s, "store_queued", (int64_t)sp_store_queued(p->store));
}

static void
status(struct sp_self *self, uint32_t id)
{
    struct sp_status *s;

    if (sp_status_create(&s) < 0) {
        reply(self, id, SP_EXIT_FAILURE, SP_STR("{}"));
        return;
    }
    add_process(self, s);
    for (unsigned i = 0; i < sp_registry_modules(self->p.registry); i++) {
        const struct sp_module *m = sp_registry_module(self->p.registry, i);
        if (m->status != NULL) {
            sp_status_object(s, m->name);
            m->status(&self->p, s);
            sp_status_end(s);
        }
    }
    reply(self, id, SP_EXIT_OK, sp_status_json(s));
    sp_status_destroy(s);
}

static void
explain(struct sp_self *self, uint32_t id, char **args, unsigned n)
{
    struct sp_question q;
    char              *text = NULL;

    if (!sp_question_parse(args, n, &q)) {
        reply(self, id, SP_EXIT_USAGE, SP_STR("explain: malformed question\n"));
        return;
    }
    enum sp_exit rc = sp_explain(self->p.snapshot, &q, &text);
    reply(self, id, rc, text == NULL ? SP_STR("out of memory\n") : sp_str_c(text));
    free(text);
}

void
sp_request_answer(struct sp_self *self, const struct sp_channel_message *m)
{
    struct sp_unpack u = {m->body.p, m->body.n, false};
    char            *args[ARGS_MAX] = {NULL};
    uint32_t         n = sp_unpack_u32(&u);

    for (uint32_t i = 0; i < n && i < ARGS_MAX && !u.failed; i++) {
        args[i] = sp_unpack_text(&u);
    }
    if (n == 0 || n > ARGS_MAX || !sp_unpack_whole(&u)) {
        reply(self, m->id, SP_EXIT_USAGE, SP_STR("malformed request\n"));
    } else if (strcmp(args[0], "status") == 0) {
        status(self, m->id);
    } else if (strcmp(args[0], "explain") == 0) {
        explain(self, m->id, args, n);
    } else {
        reply(self, m->id, SP_EXIT_USAGE, SP_STR("unknown request\n"));
    }
    for (unsigned i = 0; i < ARGS_MAX; i++) {
        free(args[i]);
    }
}
