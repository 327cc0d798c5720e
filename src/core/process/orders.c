/* What the master is told to do: by signals, and over the control socket. */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/diag.h"
#include "process/master.h"
#include "process/notify.h"

#define DRAIN_MS     5000u /* good-byes are spread over this, so that not all come back at once */
#define QUIT_LIMIT_S 15    /* then it is a stop */
#define STOP_LIMIT_S 5     /* then it is a kill */

/* -- the end -- */

static void
kill_all(struct sp_master *m)
{
    char name[16];

    for (unsigned i = 0; i < m->nslots; i++) {
        if (m->slots[i].pid > 0) {
            sp_log(SP_LOG_WARN, "%s, pid %d, does not end and is killed", sp_slot_name(&m->slots[i], name, sizeof name),
                   (int)m->slots[i].pid);
            kill(m->slots[i].pid, SIGKILL);
        }
    }
}

static void
on_end_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sp_master *m = arg;
    (void)fd;
    (void)what;

    sp_clock_update();
    if (m->phase == SP_PHASE_QUIT) {
        sp_log(SP_LOG_WARN, "not everyone has gone after %d s: stopping", QUIT_LIMIT_S);
        sp_orders_end(m, SP_PHASE_STOP);
    } else {
        kill_all(m);
    }
}

static void
tell_to_end(struct sp_slot *s, enum sp_channel_type type)
{
    struct sp_pack body = {0};

    if (s->pid <= 0) {
        return;
    }
    s->told_to_end = true;
    sp_pack_u64(&body, DRAIN_MS);
    if (sp_channel_send(s->channel, type, 0, (struct sp_str){body.p, body.n}, NULL, 0) < 0) {
        kill(s->pid, SIGKILL);
    }
    sp_pack_free(&body);
}

void
sp_orders_step(struct sp_master *m)
{
    if (m->phase < SP_PHASE_QUIT || sp_spawn_alive(m, SP_WORKER) > 0) {
        return;
    }
    struct sp_slot *keeper = m->nslots > 0 ? &m->slots[m->nslots - 1] : NULL;
    if (keeper != NULL && keeper->pid > 0 && !keeper->told_to_end) {
        tell_to_end(keeper, SP_MSG_STOP);
    }
}

void
sp_orders_end(struct sp_master *m, enum sp_phase phase)
{
    const struct timeval limit = {phase == SP_PHASE_QUIT ? QUIT_LIMIT_S : STOP_LIMIT_S, 0};

    if (m->phase >= phase) {
        return;
    }
    m->phase = phase;
    if (!m->handed_over) {
        sp_notify_stopping();
    }
    sp_reload_cancel(m, "the gateway is ending");
    for (unsigned i = 0; i < m->nslots; i++) {
        struct sp_slot *s = &m->slots[i];
        if (s->state == SP_SLOT_WAITING) {
            event_del(s->respawn);
            s->state = SP_SLOT_EMPTY;
        }
        if (s->kind == SP_WORKER) { /* the keeper goes last: what the workers still send it is kept */
            tell_to_end(s, phase == SP_PHASE_QUIT && s->state == SP_SLOT_UP ? SP_MSG_QUIT : SP_MSG_STOP);
        }
    }
    if (m->end_timer != NULL) {
        event_add(m->end_timer, &limit);
    }
    sp_orders_step(m);
}

/* -- logs -- */

int
sp_orders_reopen(struct sp_master *m, char **error)
{
    struct sp_process_log *logs;

    int err = sp_master_open_logs(m->plan, &logs, error);
    if (err < 0) {
        return err;
    }
    sp_master_use_logs(m, logs, m->plan->nlogs, m->plan->log_level);
    sp_log(SP_LOG_NOTICE, "logs were opened anew");
    return 0;
}

/* -- signals -- */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
    struct sp_master *m = arg;
    char             *error = NULL;
    (void)what;

    sp_clock_update();
    switch (number) {
    case SIGCHLD:
        sp_spawn_reap(m);
        break;
    case SIGHUP:
        sp_reload_request(m, NULL);
        break;
    case SIGUSR1:
        if (sp_orders_reopen(m, &error) < 0) {
            sp_log(SP_LOG_ERROR, "logs stay as they are: %s", error == NULL ? "out of memory" : error);
        }
        free(error);
        break;
    case SIGUSR2:
        sp_upgrade_request(m, NULL);
        break;
    case SIGQUIT:
        sp_log(SP_LOG_NOTICE, "quitting: sessions are told good-bye");
        sp_orders_end(m, SP_PHASE_QUIT);
        break;
    default:
        sp_log(SP_LOG_NOTICE, "stopping");
        sp_orders_end(m, SP_PHASE_STOP);
        break;
    }
}

int
sp_orders_signals(struct sp_master *m)
{
    static const int numbers[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        m->signals[i] = evsignal_new(m->base, numbers[i], on_signal, m);
        if (m->signals[i] == NULL || event_add(m->signals[i], NULL) < 0) {
            return -ENOMEM;
        }
    }
    m->end_timer = evtimer_new(m->base, on_end_timer, m);
    return m->end_timer == NULL ? -ENOMEM : 0;
}

void
sp_orders_free(struct sp_master *m)
{
    for (size_t i = 0; i < sizeof m->signals / sizeof m->signals[0]; i++) {
        if (m->signals[i] != NULL) {
            event_free(m->signals[i]);
        }
    }
    if (m->end_timer != NULL) {
        event_free(m->end_timer);
    }
}

/* -- control -- */

static void
order_end(struct sp_master *m, struct sp_client *c, enum sp_phase phase)
{
    sp_log(SP_LOG_NOTICE, "%s by order of a control client", phase == SP_PHASE_QUIT ? "quitting" : "stopping");
    if (m->nenders < sizeof m->enders / sizeof m->enders[0]) {
        m->enders[m->nenders++] = c; /* the verdict comes when everyone has gone */
    } else {
        sp_client_out(c, SP_STR("sallyport is ending\n"));
        sp_client_exit(c, SP_EXIT_OK);
    }
    sp_orders_end(m, phase);
}

static void
order_reopen(struct sp_master *m, struct sp_client *c)
{
    char *error = NULL;

    if (sp_orders_reopen(m, &error) < 0) {
        sp_client_errf(c, "sallyport: logs stay as they are: %s", error == NULL ? "out of memory\n" : error);
        sp_client_exit(c, SP_EXIT_FAILURE);
    } else {
        sp_client_out(c, SP_STR("logs were opened anew\n"));
        sp_client_exit(c, SP_EXIT_OK);
    }
    free(error);
}

static void
refuse(struct sp_client *c, const char *why)
{
    sp_client_errf(c, "sallyport: %s\n", why);
    sp_client_exit(c, SP_EXIT_FAILURE);
}

void
sp_orders_request(void *arg, struct sp_client *c, char *const *args, unsigned n)
{
    static const char *const orders[] = {"reload", "stop", "quit", "reopen", "upgrade", "status", "explain", NULL};
    struct sp_master        *m = arg;
    const char              *what = args[0];

    sp_clock_update();
    if (strcmp(what, "status") == 0) {
        sp_gather_status(m, c);
    } else if (strcmp(what, "explain") == 0) {
        sp_gather_ask(m, c, args, n);
    } else if (!sp_client_may_command(c)) {
        refuse(c, "you may ask (status, explain), but not command");
    } else if (strcmp(what, "stop") == 0) {
        order_end(m, c, SP_PHASE_STOP);
    } else if (strcmp(what, "quit") == 0) {
        order_end(m, c, SP_PHASE_QUIT);
    } else if (m->phase >= SP_PHASE_QUIT) {
        refuse(c, "the gateway is ending");
    } else if (strcmp(what, "reload") == 0) {
        sp_reload_request(m, c);
    } else if (strcmp(what, "upgrade") == 0) {
        sp_upgrade_request(m, c);
    } else if (strcmp(what, "reopen") == 0) {
        order_reopen(m, c);
    } else {
        const char *near = sp_suggest(sp_str_c(what), orders);
        char        shown[128];
        sp_client_errf(c, "sallyport: the gateway does not know the order \"%s\"%s%s%s\n",
                       sp_str_escape(shown, sizeof shown, sp_str_c(what)), near ? "; did you mean \"" : "",
                       near ? near : "", near ? "\"?" : "");
        sp_client_exit(c, SP_EXIT_USAGE);
    }
}
