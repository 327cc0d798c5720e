#include "process/successor.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/core_directives.h"
#include "process/master.h"

#define INHERIT_LIMIT_S 10

struct sp_successor {
    struct sp_master  *master;
    struct sp_channel *channel;
    struct sp_sockets *inherited; /* until they were handed to the master */
    unsigned           workers;   /* of the old one */
    bool               adopted, standby, go, broken;
};

static void
on_go(struct sp_successor *k)
{
    struct sp_master *m = k->master;
    char             *error = NULL;

    if (k->go) {
        return;
    }
    k->go = true;
    int err = sp_sockets_listen(m->sockets, &error);
    if (err == 0) {
        err = sp_spawn(&m->slots[m->nslots - 1]);
    }
    if (err < 0) {
        const char *why = error != NULL ? error : strerror(-err);
        sp_master_log_lines(SP_LOG_EMERG, why);
        m->exit_code = SP_EXIT_FAILURE;
        sp_successor_failed(m, why);
        sp_orders_end(m, SP_PHASE_STOP);
    }
    free(error);
}

static void
on_message(void *arg, const struct sp_channel_message *msg)
{
    struct sp_successor *k = arg;
    struct sp_unpack     u = {msg->body.p, msg->body.n, false};

    sp_clock_update();
    if (msg->type == SP_MSG_LISTENER && !k->adopted && msg->nfds == 1) {
        k->broken |= sp_sockets_adopt(k->inherited, msg->id, msg->fds[0]) < 0;
        msg->fds[0] = -1;
    } else if (msg->type == SP_MSG_ADOPT && !k->adopted) {
        k->workers = sp_unpack_u32(&u);
        k->master->generation = sp_unpack_u64(&u) + 1;
        sp_unpack_bytes(&u, k->master->ticket_secret, sizeof k->master->ticket_secret);
        k->broken |= !sp_unpack_whole(&u);
        k->adopted = true;
    } else if (msg->type == SP_MSG_GO && k->standby) {
        on_go(k);
    }
}

/* The old master was killed: its processes go with it, and what it held is free. */
static void
on_closed(void *arg, int err)
{
    struct sp_successor *k = arg;
    (void)err;

    if (!k->adopted) {
        k->broken = true;
    } else if (k->standby) {
        sp_log(SP_LOG_WARN, "the old gateway has gone before it handed over");
        on_go(k);
    }
}

static int
create(struct sp_master *m, int fd)
{
    int       type = 0;
    socklen_t n = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return -ENOTSOCK;
    }
    struct sp_successor *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return -ENOMEM;
    }
    m->successor = k;
    k->master = m;
    m->base = event_base_new();
    int err = m->base == NULL ? -ENOMEM : sp_sockets_empty(SP_WORKERS_MAX, &k->inherited);
    return err == 0 ? sp_channel_create(m->base, fd, on_message, on_closed, k, &k->channel) : err;
}

int
sp_successor_join(struct sp_master *m, struct sp_sockets **inherited)
{
    const char *value = getenv(SP_SUCCESSOR_ENV);
    uint64_t    fd, until_ms;

    if (value == NULL) {
        return 0;
    }
    if (sp_str_u64(sp_str_c(value), 1u << 20, &fd) < 0) {
        return -EINVAL;
    }
    (void)unsetenv(SP_SUCCESSOR_ENV);
    int err = create(m, (int)fd);
    if (err < 0) {
        return err;
    }
    struct sp_successor *k = m->successor;
    until_ms = sp_clock_ms() + INHERIT_LIMIT_S * 1000;
    while (!k->adopted && !k->broken && sp_clock_ms() < until_ms) {
        const struct timeval wait = {1, 0};
        (void)event_base_loopexit(m->base, &wait);
        if (event_base_loop(m->base, EVLOOP_ONCE) < 0) {
            break;
        }
        sp_clock_update();
    }
    if (!k->adopted || k->broken) {
        return -EPROTO;
    }
    /* sockets of workers that are no more would keep connections that nobody takes */
    k->inherited->workers = k->workers < 1 || k->workers > SP_WORKERS_MAX ? SP_WORKERS_MAX : k->workers;
    *inherited = k->inherited;
    k->inherited = NULL;
    return 1;
}

int
sp_successor_check(struct sp_master *m, char **error)
{
    const struct sp_successor *k = m->successor;

    if (k == NULL || m->plan->workers >= k->workers) {
        return 0;
    }
    if (asprintf(error, "worker_processes cannot fall from %u to %u in an upgrade: stop and start instead", k->workers,
                 m->plan->workers) < 0) {
        *error = NULL;
    }
    return -EINVAL;
}

void
sp_successor_failed(struct sp_master *m, const char *text)
{
    struct sp_successor *k = m->successor;

    if (k != NULL && k->channel != NULL) {
        (void)sp_channel_send(k->channel, SP_MSG_FAILED, 0, sp_str_c(text), NULL, 0);
        sp_channel_drain(k->channel, 1000);
    }
}

void
sp_successor_slot_up(struct sp_slot *s)
{
    struct sp_master    *m = s->master;
    struct sp_successor *k = m->successor;

    if (k->standby || s->kind != SP_WORKER) {
        return;
    }
    for (unsigned i = 0; i < m->plan->workers; i++) {
        if (m->slots[i].state != SP_SLOT_UP) {
            return;
        }
    }
    k->standby = true;
    if (sp_channel_send(k->channel, SP_MSG_STANDBY, 0, SP_STR(""), NULL, 0) < 0) {
        on_go(k); /* nobody is there to wait for */
    }
}

void
sp_successor_ready(struct sp_master *m)
{
    struct sp_successor *k = m->successor;
    struct sp_pack       body = {0};

    int err = sp_master_take_names(m);
    if (err < 0) {
        m->exit_code = SP_EXIT_FAILURE;
        sp_successor_failed(m,
                            "the new gateway cannot take over the control socket or the pid file: see the error log");
        sp_orders_end(m, SP_PHASE_STOP);
        return;
    }
    sp_pack_u32(&body, (uint32_t)getpid());
    (void)sp_channel_send(k->channel, SP_MSG_DONE, 0, (struct sp_str){body.p, body.n}, NULL, 0);
    sp_channel_drain(k->channel, 1000);
    sp_pack_free(&body);
    sp_successor_free(m);
}

void
sp_successor_free(struct sp_master *m)
{
    if (m->successor != NULL) {
        sp_channel_destroy(m->successor->channel);
        sp_sockets_close(m->successor->inherited);
        free(m->successor);
        m->successor = NULL;
    }
}
