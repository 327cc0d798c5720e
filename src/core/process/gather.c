/* Questions that the processes answer: status asks all of them, explain one worker. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "process/master.h"
#include "process/status.h"
#include "sp_config.h"

#define ANSWER_LIMIT_S 3

struct answer {
    bool  waiting;
    char *text; /* NULL: none came */
};

struct sp_gather {
    struct sp_gather *next;
    struct sp_master *master;
    struct sp_client *client;
    uint32_t          id;
    bool              status;
    struct event     *timer;
    struct answer    *answers; /* by slot */
};

static void
free_gather(struct sp_gather *g)
{
    for (unsigned i = 0; g->answers != NULL && i < g->master->nslots; i++) {
        free(g->answers[i].text);
    }
    free(g->answers);
    if (g->timer != NULL) {
        event_free(g->timer);
    }
    free(g);
}

static void
finish(struct sp_gather *g, enum sp_exit code)
{
    struct sp_gather **at = &g->master->gathers;

    while (*at != g) {
        at = &(*at)->next;
    }
    *at = g->next;
    sp_client_exit(g->client, code);
    free_gather(g);
}

/* -- status -- */

static void
add_listeners(const struct sp_plan *plan, struct sp_status *s)
{
    sp_status_list(s, "listeners");
    for (unsigned i = 0; i < plan->nlisteners; i++) {
        const struct sp_plan_listener *l = &plan->listeners[i];
        sp_status_object(s, NULL);
        sp_status_str(s, "protocol", sp_str_c(l->protocol));
        sp_status_str(s, "address", sp_str_c(l->address));
        sp_status_str(s, "trust", sp_str_c(l->trust[0] == '\0' ? "plain" : l->trust));
        sp_status_num(s, "backlog", l->backlog);
        sp_status_str(s, "where", sp_str_c(l->where));
        sp_status_end(s);
    }
    sp_status_end(s);
}

static void
add_master(struct sp_master *m, struct sp_status *s)
{
    static const char *const phases[] = {"starting", "running", "quitting", "stopping"};
    char                     hex[65];

    for (size_t i = 0; i < sizeof m->plan->digest; i++) {
        snprintf(hex + 2 * i, 3, "%02x", m->plan->digest[i]);
    }
    sp_status_str(s, "version", SP_STR(SP_VERSION));
    sp_status_num(s, "pid", getpid());
    sp_status_str(s, "state",
                  sp_str_c(m->upgrade != NULL  ? "upgrading"
                           : sp_reload_runs(m) ? "reloading"
                                               : phases[m->phase]));
    sp_status_num(s, "uptime_s", (int64_t)((sp_clock_ms() - m->started_ms) / 1000));
    sp_status_num(s, "generation", (int64_t)m->generation);
    sp_status_str(s, "configuration", sp_str_c(m->options->conf));
    sp_status_str(s, "digest", sp_str_c(hex));
    sp_status_num(s, "workers", m->plan->workers);
    add_listeners(m->plan, s);
}

/* The master's own knowledge of the process, then what the process says of itself. */
static void
add_process(const struct sp_slot *slot, const char *answer, struct sp_status *s)
{
    static const char *const states[] = {"none", "starting", "up", "waiting"};
    char                     name[16];

    sp_status_object(s, NULL);
    sp_status_str(s, "process", sp_str_c(sp_slot_name(slot, name, sizeof name)));
    sp_status_num(s, "epoch", slot->epoch);
    sp_status_num(s, "respawns", slot->respawns);
    size_t n = answer == NULL ? 0 : strlen(answer);
    if (n > 2 && answer[0] == '{' && answer[n - 1] == '}') {
        sp_status_members(s, (struct sp_str){answer + 1, n - 2});
    } else {
        sp_status_num(s, "pid", slot->pid);
        sp_status_num(s, "generation", (int64_t)slot->generation);
        sp_status_str(s, "state", sp_str_c(slot->state == SP_SLOT_UP ? "silent" : states[slot->state]));
    }
    sp_status_end(s);
}

static void
add_metrics(struct sp_master *m, struct sp_status *s)
{
    sp_status_object(s, "metrics");
    for (unsigned i = 0; i < sp_metrics_count(m->metrics); i++) {
        sp_status_num(s, sp_metrics_def(m->metrics, (int)i)->name, sp_metrics_sum(m->metrics, (int)i));
    }
    sp_status_end(s);
}

static void
finish_status(struct sp_gather *g)
{
    struct sp_master *m = g->master;
    struct sp_status *s;

    if (sp_status_create(&s) < 0) {
        sp_client_err(g->client, SP_STR("sallyport: out of memory\n"));
        finish(g, SP_EXIT_FAILURE);
        return;
    }
    add_master(m, s);
    sp_status_list(s, "processes");
    for (unsigned i = 0; i < m->nslots; i++) {
        add_process(&m->slots[i], g->answers[i].text, s);
    }
    sp_status_end(s);
    add_metrics(m, s);
    sp_client_out(g->client, sp_status_json(s));
    sp_status_destroy(s);
    finish(g, SP_EXIT_OK);
}

static void
check_status(struct sp_gather *g)
{
    for (unsigned i = 0; i < g->master->nslots; i++) {
        if (g->answers[i].waiting) {
            return;
        }
    }
    finish_status(g);
}

/* -- both -- */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sp_gather *g = arg;
    (void)fd;
    (void)what;

    if (g->status) {
        finish_status(g);
    } else {
        sp_client_err(g->client, SP_STR("sallyport: the worker does not answer\n"));
        finish(g, SP_EXIT_FAILURE);
    }
}

static struct sp_gather *
create(struct sp_master *m, struct sp_client *c, bool status)
{
    const struct timeval limit = {ANSWER_LIMIT_S, 0};
    struct sp_gather    *g = calloc(1, sizeof *g);

    if (g == NULL) {
        goto fail;
    }
    *g = (struct sp_gather){.master = m, .client = c, .status = status, .id = ++m->last_request};
    g->answers = calloc(m->nslots, sizeof *g->answers);
    g->timer = evtimer_new(m->base, on_timer, g);
    if (g->answers == NULL || g->timer == NULL) {
        free_gather(g);
        goto fail;
    }
    event_add(g->timer, &limit);
    g->next = m->gathers;
    m->gathers = g;
    return g;

fail:
    sp_client_err(c, SP_STR("sallyport: out of memory\n"));
    sp_client_exit(c, SP_EXIT_FAILURE);
    return NULL;
}

static bool
ask(struct sp_gather *g, struct sp_slot *s, char *const *args, unsigned n)
{
    struct sp_pack body = {0};

    sp_pack_u32(&body, n);
    for (unsigned i = 0; i < n; i++) {
        sp_pack_text(&body, args[i]);
    }
    int err = body.failed
                  ? -ENOMEM
                  : sp_channel_send(s->channel, SP_MSG_REQUEST, g->id, (struct sp_str){body.p, body.n}, NULL, 0);
    sp_pack_free(&body);
    g->answers[s->index].waiting = err == 0;
    return err == 0;
}

void
sp_gather_status(struct sp_master *m, struct sp_client *c)
{
    char              what[] = "status";
    char             *args[] = {what};
    struct sp_gather *g = create(m, c, true);

    if (g == NULL) {
        return;
    }
    for (unsigned i = 0; i < m->nslots; i++) {
        if (m->slots[i].state == SP_SLOT_UP) {
            (void)ask(g, &m->slots[i], args, 1);
        }
    }
    check_status(g);
}

void
sp_gather_ask(struct sp_master *m, struct sp_client *c, char *const *args, unsigned n)
{
    struct sp_gather *g = create(m, c, false);

    if (g == NULL) {
        return;
    }
    for (unsigned i = 0; i < m->nslots; i++) {
        struct sp_slot *s = &m->slots[i];
        if (s->kind == SP_WORKER && s->state == SP_SLOT_UP && ask(g, s, args, n)) {
            return;
        }
    }
    sp_client_err(c, SP_STR("sallyport: no worker is up to answer; try again\n"));
    finish(g, SP_EXIT_FAILURE);
}

static struct sp_gather *
find(const struct sp_master *m, uint32_t id)
{
    struct sp_gather *g = m->gathers;

    while (g != NULL && g->id != id) {
        g = g->next;
    }
    return g;
}

void
sp_gather_reply(struct sp_slot *s, const struct sp_channel_message *msg)
{
    struct sp_gather *g = find(s->master, msg->id);
    struct sp_unpack  u = {msg->body.p, msg->body.n, false};
    uint32_t          code = sp_unpack_u32(&u);
    struct sp_str     text = sp_unpack_str(&u);

    if (g == NULL || !g->answers[s->index].waiting || !sp_unpack_whole(&u)) {
        return;
    }
    g->answers[s->index].waiting = false;
    if (!g->status) {
        if (code == SP_EXIT_OK) {
            sp_client_out(g->client, text);
        } else {
            sp_client_err(g->client, text);
        }
        finish(g, code > SP_EXIT_REFUSED ? SP_EXIT_FAILURE : (enum sp_exit)code);
        return;
    }
    if (memchr(text.p, '\0', text.n) == NULL) {
        g->answers[s->index].text = sp_str_dup(text);
    }
    check_status(g);
}

void
sp_gather_slot_died(struct sp_slot *s)
{
    struct sp_gather *next;

    for (struct sp_gather *g = s->master->gathers; g != NULL; g = next) {
        next = g->next;
        if (!g->answers[s->index].waiting) {
            continue;
        }
        g->answers[s->index].waiting = false;
        if (g->status) {
            check_status(g);
        } else {
            sp_client_err(g->client, SP_STR("sallyport: the worker that was asked has died; try again\n"));
            finish(g, SP_EXIT_FAILURE);
        }
    }
}

void
sp_gather_free(struct sp_master *m)
{
    while (m->gathers != NULL) {
        sp_client_err(m->gathers->client, SP_STR("sallyport: the gateway has ended\n"));
        finish(m->gathers, SP_EXIT_FAILURE);
    }
}
