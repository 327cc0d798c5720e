/* A reload as a worker or the keeper sees it: build aside, answer, swap one pointer. */
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/bundle.h"
#include "conf/module.h"
#include "conf/registry.h"
#include "net/conn.h"
#include "net/router.h"
#include "process/child.h"
#include "store/retained.h"

struct sp_prepare {
    struct sp_self *self;
    int             bell; /* eventfd: the thread has finished */
    struct event   *event;
    pthread_t       thread;
    bool            running, cancelled, prepared;
    uint64_t        generation;
    uint32_t        id; /* the master's number for this attempt */
    int             bundle;
    int            *fds; /* new listeners, in the order of the new snapshot */
    unsigned        nfds;
    uint64_t        swap_us; /* how long the last commit took */
    /* the thread's, until it rings */
    int                 err;
    struct sp_snapshot *built;
    char               *errors;
};

/* The helper thread: no log, no libevent, nothing of the process but what it was given. */
static void *
build(void *arg)
{
    struct sp_prepare         *q = arg;
    const struct sp_launch    *l = q->self->launch;
    struct sp_snapshot_options o = {l->options->prefix, l->options->conf, l->options->extra, q->generation, false};
    struct sp_source          *source;
    const uint64_t             one = 1;

    q->err = sp_source_bundle(q->bundle, &source);
    if (q->err == 0) {
        q->err = sp_snapshot_build(l->registry, source, &o, &q->built, &q->errors);
        sp_source_close(source);
    }
    while (write(q->bell, &one, sizeof one) < 0 && errno == EINTR) {
    }
    return NULL;
}

static int
start_thread(struct sp_prepare *q)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&q->thread, NULL, build, q);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    q->running = err == 0;
    return -err;
}

static void
forget(struct sp_prepare *q)
{
    for (unsigned i = 0; i < q->nfds; i++) {
        if (q->fds[i] >= 0) {
            close(q->fds[i]);
        }
    }
    free(q->fds);
    q->fds = NULL;
    q->nfds = 0;
    if (q->bundle >= 0) {
        close(q->bundle);
        q->bundle = -1;
    }
    if (q->built != NULL) {
        sp_snapshot_unref(q->built);
        q->built = NULL;
    }
    free(q->errors);
    q->errors = NULL;
    q->prepared = false;
}

static void
answer_failed(struct sp_prepare *q, const char *text)
{
    char *line = NULL;

    if (asprintf(&line, "%s", text) < 0) {
        line = NULL;
    }
    sp_child_send(q->self, SP_MSG_FAILED, q->id, sp_str_c(line == NULL ? "out of memory" : line));
    free(line);
    forget(q);
}

static void
abort_modules(struct sp_prepare *q, unsigned upto)
{
    struct sp_process *p = &q->self->p;

    for (unsigned i = upto; i > 0; i--) {
        const struct sp_module *m = sp_registry_module(p->registry, i - 1);
        if (m->abort != NULL) {
            m->abort(p, q->built);
        }
    }
    p->next = NULL;
}

/* Every module's prepare. 0, or negative and *error. */
static int
prepare_modules(struct sp_prepare *q, char **error)
{
    struct sp_process *p = &q->self->p;

    p->next = q->built;
    for (unsigned i = 0; i < sp_registry_modules(p->registry); i++) {
        const struct sp_module *m = sp_registry_module(p->registry, i);
        int                     err = m->prepare == NULL ? 0 : m->prepare(p, q->built, error);
        if (err < 0) {
            abort_modules(q, i);
            return err;
        }
    }
    return 0;
}

static void
on_built(evutil_socket_t fd, short what, void *arg)
{
    struct sp_prepare *q = arg;
    uint64_t           count;
    (void)what;

    if (read(fd, &count, sizeof count) < 0) {
        return;
    }
    sp_clock_update();
    pthread_join(q->thread, NULL);
    q->running = false;
    if (q->cancelled) {
        forget(q);
        return;
    }
    if (q->err < 0) {
        answer_failed(q, q->errors != NULL ? q->errors : strerror(-q->err));
        return;
    }
    char *error = NULL;
    int   err = prepare_modules(q, &error);
    if (err < 0) {
        answer_failed(q, error != NULL ? error : strerror(-err));
        free(error);
        return;
    }
    q->prepared = true;
    sp_child_send(q->self, SP_MSG_PREPARED, q->id,
                  (struct sp_str){(const char *)q->built->digest, sizeof q->built->digest});
}

int
sp_prepare_create(struct sp_self *self)
{
    struct sp_prepare *q = calloc(1, sizeof *q);

    if (q == NULL) {
        return -ENOMEM;
    }
    self->prepare = q;
    q->self = self;
    q->bundle = -1;
    q->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->bell < 0) {
        return -errno;
    }
    q->event = event_new(self->p.base, q->bell, EV_READ | EV_PERSIST, on_built, q);
    return q->event == NULL || event_add(q->event, NULL) < 0 ? -ENOMEM : 0;
}

void
sp_prepare_destroy(struct sp_self *self)
{
    struct sp_prepare *q = self->prepare;

    if (q == NULL) {
        return;
    }
    if (q->running) {
        pthread_join(q->thread, NULL);
    }
    if (q->prepared) {
        abort_modules(q, sp_registry_modules(self->p.registry));
    }
    forget(q);
    if (q->event != NULL) {
        event_free(q->event);
    }
    if (q->bell >= 0) {
        close(q->bell);
    }
    free(q);
    self->prepare = NULL;
}

void
sp_prepare_start(struct sp_self *self, const struct sp_channel_message *m)
{
    struct sp_prepare *q = self->prepare;
    struct sp_unpack   u = {m->body.p, m->body.n, false};
    uint64_t           generation = sp_unpack_u64(&u);

    if (q->running || q->prepared || !sp_unpack_whole(&u) || m->nfds < 1) {
        sp_child_send(self, SP_MSG_FAILED, m->id, SP_STR("it is still busy with an earlier reload: try again"));
        return;
    }
    q->generation = generation;
    q->id = m->id;
    q->cancelled = false;
    q->err = 0;
    q->bundle = m->fds[0];
    m->fds[0] = -1;
    q->nfds = (unsigned)m->nfds - 1;
    q->fds = calloc(q->nfds + 1u, sizeof *q->fds);
    if (q->fds == NULL) {
        q->nfds = 0;
        answer_failed(q, "out of memory");
        return;
    }
    for (unsigned i = 0; i < q->nfds; i++) {
        q->fds[i] = m->fds[i + 1];
        m->fds[i + 1] = -1;
    }
    int err = start_thread(q);
    if (err < 0) {
        answer_failed(q, strerror(-err));
    }
}

static void
report(struct sp_process *p, unsigned kept, unsigned trimmed, unsigned closed)
{
    struct sp_self *self = sp_self(p);
    struct sp_pack  body = {0};

    sp_pack_u32(&body, kept);
    sp_pack_u32(&body, trimmed);
    sp_pack_u32(&body, closed);
    sp_pack_u64(&body, self->prepare == NULL ? 0 : self->prepare->swap_us);
    sp_child_send(self, SP_MSG_COMMITTED, self->prepare == NULL ? 0 : self->prepare->id,
                  (struct sp_str){body.p, body.n});
    sp_pack_free(&body);
}

static void
swap_listeners(struct sp_prepare *q)
{
    struct sp_self *self = q->self;

    if (self->p.net == NULL) {
        return;
    }
    int err = sp_net_listen(self->p.net, q->fds, q->nfds);
    if (err < 0) {
        sp_log(SP_LOG_CRIT, "cannot take over the listeners: %s", strerror(-err));
    }
    q->nfds = 0;
    sp_worker_accept(self, !self->paused);
}

void
sp_prepare_commit(struct sp_self *self)
{
    struct sp_prepare *q = self->prepare;
    struct sp_process *p = &self->p;
    uint64_t           since_ns = sp_clock_ns();

    if (!q->prepared) {
        sp_log(SP_LOG_ALERT, "the master committed what was not prepared");
        sp_child_end(self, SP_CHILD_FAILED);
        return;
    }
    struct sp_snapshot *was = p->snapshot;
    p->snapshot = q->built;
    p->next = NULL;
    q->built = NULL;
    q->prepared = false;
    self->generation = q->generation;
    swap_listeners(q);
    if (p->router != NULL) {
        sp_router_commit(p->router);
    }
    if (p->shelf != NULL) {
        sp_shelf_commit(p->shelf);
    }
    for (unsigned i = 0; i < sp_registry_modules(p->registry); i++) {
        const struct sp_module *m = sp_registry_module(p->registry, i);
        if (m->commit != NULL) {
            m->commit(p, was);
        }
    }
    forget(q);
    sp_snapshot_unref(was);
    q->swap_us = (sp_clock_ns() - since_ns) / 1000;
    if (p->net != NULL) {
        sp_net_sweep(p->net, report);
    } else {
        report(p, 0, 0, 0);
    }
}

void
sp_prepare_abort(struct sp_self *self)
{
    struct sp_prepare *q = self->prepare;

    if (q->running) {
        q->cancelled = true;
        return;
    }
    if (q->prepared) {
        abort_modules(q, sp_registry_modules(self->p.registry));
    }
    forget(q);
}
