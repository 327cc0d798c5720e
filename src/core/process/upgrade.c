/*
 * A binary upgrade, the old side (successor.c is the new one). The new master is started with our listening sockets:
 *
 *   new: reads its configuration, starts workers that do not accept yet   -> STANDBY
 *   old: workers pause accepting (the kernel queues), those who are just coming in get in, then its keeper stops -> GO
 *   new: starts its keeper on the store, accepts, takes pid file and control socket -> DONE
 *   old: tells its sessions good-bye and goes
 *
 * Whatever goes wrong before DONE, the old one starts its keeper again and serves on. No socket is ever closed in between, so
 * no connection is refused.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "process/fork.h"
#include "process/master.h"
#include "process/notify.h"
#include "process/pidfile.h"
#include "process/successor.h"

#define STANDBY_LIMIT_S 90
#define DONE_LIMIT_S    30
/* From the last accept to the end of our keeper: handshake and log-in of a client at a distance of 400 ms. Who needs longer is told
 * to come back. */
#define SETTLE_MS 500

enum stage { STARTED, SETTLING, RELEASING, GONE, DONE, FAILED };

struct sp_upgrade {
    struct sp_master  *master;
    struct sp_client  *client;
    enum stage         stage;
    pid_t              pid;
    struct sp_channel *channel;
    struct event      *timer;
    char              *why; /* what the new one said before it gave up */
};

static void
old_pid_path(const struct sp_master *m, char *dst, size_t cap)
{
    snprintf(dst, cap, "%s.oldbin", m->plan->pid_path);
}

static void
destroy(struct sp_upgrade *u)
{
    u->master->upgrade = NULL;
    sp_channel_destroy(u->channel);
    if (u->timer != NULL) {
        event_free(u->timer);
    }
    free(u->why);
    free(u);
}

static void
arm(struct sp_upgrade *u, unsigned ms)
{
    const struct timeval limit = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};

    event_add(u->timer, &limit);
}

/* -- failure -- */

/* Serves on as before. */
static void
take_back(struct sp_upgrade *u)
{
    struct sp_master *m = u->master;
    struct sp_slot   *keeper = &m->slots[m->nslots - 1];
    char              old[PATH_MAX];

    old_pid_path(m, old, sizeof old);
    (void)rename(old, m->plan->pid_path);
    keeper->told_to_end = false;
    if (keeper->pid == 0) {
        int err = sp_spawn(keeper);
        if (err < 0) {
            sp_log(SP_LOG_ALERT, "cannot start the keeper again: %s", strerror(-err));
            keeper->state = SP_SLOT_WAITING;
            event_add(keeper->respawn, &(struct timeval){1, 0});
        }
    }
    sp_spawn_broadcast(m, SP_MSG_RESUME, SP_STR(""));
}

static void
fail(struct sp_upgrade *u, const char *why)
{
    struct sp_master *m = u->master;
    struct sp_client *client = u->client;
    enum stage        stage = u->stage;

    if (stage == FAILED || stage == DONE) {
        return;
    }
    u->stage = FAILED;
    sp_log(SP_LOG_ERROR, "upgrade failed, pid %d goes on serving:", (int)getpid());
    sp_master_log_lines(SP_LOG_ERROR, why);
    if (u->pid > 0) {
        kill(u->pid, SIGKILL); /* its processes go with it */
    }
    if (stage != STARTED) {
        take_back(u);
    }
    if (client != NULL) {
        sp_client_errf(client, "%s%ssallyport: upgrade failed, pid %d goes on serving\n", why,
                       why[0] != '\0' && why[strlen(why) - 1] == '\n' ? "" : "\n", (int)getpid());
        sp_client_exit(client, SP_EXIT_FAILURE);
    }
    if (stage == GONE) { /* it may have taken the names already */
        sp_control_close(m->control);
        m->control = NULL;
        (void)sp_master_take_names(m);
    }
    destroy(u);
}

/* -- what the new one says -- */

static void
settle(struct sp_upgrade *u)
{
    u->stage = SETTLING;
    sp_spawn_broadcast(u->master, SP_MSG_PAUSE, SP_STR(""));
    arm(u, SETTLE_MS);
}

static void
release(struct sp_upgrade *u)
{
    struct sp_master *m = u->master;
    struct sp_slot   *keeper = &m->slots[m->nslots - 1];

    u->stage = RELEASING;
    arm(u, DONE_LIMIT_S * 1000);
    keeper->told_to_end = true;
    if (keeper->state == SP_SLOT_WAITING) {
        event_del(keeper->respawn);
        keeper->state = SP_SLOT_EMPTY;
    }
    if (keeper->pid == 0) {
        sp_upgrade_slot_gone(keeper);
    } else if (sp_channel_send(keeper->channel, SP_MSG_STOP, 0, SP_STR(""), NULL, 0) < 0) {
        kill(keeper->pid, SIGKILL);
    }
}

void
sp_upgrade_slot_gone(struct sp_slot *s)
{
    struct sp_upgrade *u = s->master->upgrade;
    char               old[PATH_MAX];

    if (u == NULL || u->stage != RELEASING || s->kind != SP_KEEPER) {
        return;
    }
    u->stage = GONE;
    old_pid_path(u->master, old, sizeof old);
    (void)rename(u->master->plan->pid_path, old);
    if (sp_channel_send(u->channel, SP_MSG_GO, 0, SP_STR(""), NULL, 0) < 0) {
        fail(u, "the new gateway has gone");
    }
}

static void
done(struct sp_upgrade *u)
{
    struct sp_master *m = u->master;

    u->stage = DONE;
    m->handed_over = true;
    sp_log(SP_LOG_NOTICE, "pid %d has taken over; pid %d tells its sessions good-bye", (int)u->pid, (int)getpid());
    sp_notify_main_pid(u->pid);
    if (u->client != NULL) {
        char line[96];
        snprintf(line, sizeof line, "upgraded: pid %d serves, pid %d drains\n", (int)u->pid, (int)getpid());
        sp_client_out(u->client, sp_str_c(line));
        sp_client_exit(u->client, SP_EXIT_OK);
    }
    destroy(u);
    sp_orders_end(m, SP_PHASE_QUIT);
}

static void
on_message(void *arg, const struct sp_channel_message *msg)
{
    struct sp_upgrade *u = arg;

    sp_clock_update();
    if (msg->type == SP_MSG_STANDBY && u->stage == STARTED) {
        settle(u);
    } else if (msg->type == SP_MSG_DONE && u->stage == GONE) {
        done(u);
    } else if (msg->type == SP_MSG_FAILED) {
        free(u->why);
        u->why = sp_str_dup(msg->body);
        fail(u, u->why == NULL ? "out of memory" : u->why);
    }
}

/* Its exit says more: SIGCHLD follows at once. */
static void
on_closed(void *arg, int err)
{
    struct sp_upgrade *u = arg;

    if (err < 0) {
        fail(u, "the new gateway sent something malformed");
    }
}

bool
sp_upgrade_reaped(struct sp_master *m, pid_t pid, int status)
{
    char how[96], why[192];

    if (m->upgrade == NULL || m->upgrade->pid != pid) {
        return false;
    }
    m->upgrade->pid = 0;
    snprintf(why, sizeof why, "the new gateway %s", sp_exit_text(how, sizeof how, status));
    fail(m->upgrade, why);
    return true;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sp_upgrade *u = arg;
    (void)fd;
    (void)what;

    sp_clock_update();
    if (u->stage == SETTLING) {
        release(u);
    } else {
        fail(u, "the new gateway is not ready in time");
    }
}

/* -- start -- */

static _Noreturn void
exec_binary(const struct sp_master *m, int channel)
{
    char value[16];

    sp_close_others(&channel, 1);
    snprintf(value, sizeof value, "%d", channel);
    if (fcntl(channel, F_SETFD, 0) < 0 || setenv(SP_SUCCESSOR_ENV, value, 1) < 0) {
        _exit(1);
    }
    signal(SIGPIPE, SIG_DFL);
    execv(m->binary, m->options->argv);
    sp_log(SP_LOG_ERROR, "cannot execute %s: %s", m->binary, strerror(errno));
    _exit(1);
}

static int
send_inheritance(struct sp_upgrade *u)
{
    struct sp_master *m = u->master;
    struct sp_pack    body = {0};
    int               err = 0;

    for (unsigned i = 0; err == 0 && i < m->sockets->count; i++) {
        for (unsigned w = 0; err == 0 && w < m->sockets->workers; w++) {
            const int fd = m->sockets->at[i].fds[w];
            if (fd >= 0) {
                err = sp_channel_send(u->channel, SP_MSG_LISTENER, w, SP_STR(""), &fd, 1);
            }
        }
    }
    sp_pack_u32(&body, m->plan->workers);
    sp_pack_u64(&body, m->generation);
    sp_pack_bytes(&body, m->ticket_secret, sizeof m->ticket_secret);
    if (err == 0) {
        err = sp_channel_send(u->channel, SP_MSG_ADOPT, 0, (struct sp_str){body.p, body.n}, NULL, 0);
    }
    sp_pack_free(&body);
    return err;
}

static int
start(struct sp_upgrade *u)
{
    struct sp_master *m = u->master;
    int               ends[2];

    u->timer = evtimer_new(m->base, on_timer, u);
    if (u->timer == NULL || m->binary == NULL) {
        return -ENOMEM;
    }
    int err = sp_channel_pair(ends);
    if (err < 0) {
        return err;
    }
    fflush(NULL);
    pid_t pid = sp_fork();
    if (pid == 0) {
        exec_binary(m, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return (int)pid;
    }
    u->pid = pid;
    arm(u, STANDBY_LIMIT_S * 1000);
    err = sp_channel_create(m->base, ends[0], on_message, on_closed, u, &u->channel);
    return err == 0 ? send_inheritance(u) : err;
}

static void
reject(struct sp_client *client, const char *why)
{
    sp_log(SP_LOG_WARN, "no upgrade: %s", why);
    if (client != NULL) {
        sp_client_errf(client, "sallyport: no upgrade: %s\n", why);
        sp_client_exit(client, SP_EXIT_FAILURE);
    }
}

void
sp_upgrade_request(struct sp_master *m, struct sp_client *client)
{
    if (m->phase != SP_PHASE_RUN) {
        reject(client, m->phase == SP_PHASE_START ? "the gateway is still starting" : "the gateway is ending");
        return;
    }
    if (m->upgrade != NULL || sp_reload_runs(m)) {
        reject(client, m->upgrade != NULL ? "one is under way" : "a reload is under way");
        return;
    }
    struct sp_upgrade *u = calloc(1, sizeof *u);
    if (u == NULL) {
        reject(client, "out of memory");
        return;
    }
    u->master = m;
    u->client = client;
    m->upgrade = u;
    sp_log(SP_LOG_NOTICE, "upgrade: starting %s", m->binary == NULL ? "?" : m->binary);
    int err = start(u);
    if (err < 0 && !(err == -EPIPE && u->pid > 0)) { /* it has gone already: its exit says why */
        fail(u, strerror(-err));
    }
}

void
sp_upgrade_free(struct sp_master *m)
{
    char old[PATH_MAX];

    if (m->upgrade != NULL) {
        fail(m->upgrade, "the gateway is ending");
    }
    if (m->handed_over) {
        old_pid_path(m, old, sizeof old);
        sp_pidfile_remove(old, getpid());
    }
}
