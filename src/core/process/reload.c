/* A reload as the master drives it: probe, prepare everywhere, then commit everywhere or abort everywhere. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "process/master.h"
#include "process/notify.h"
#include "process/probe.h"

#define ANSWER_LIMIT_S 30 /* for one process to prepare, and for all to report after the commit */
#define CLIENTS_MAX    64u

enum stage { IDLE, PROBING, PREPARING, COMMITTING };

struct waiters {
    struct sp_client *at[CLIENTS_MAX];
    unsigned          n;
};

struct sp_reload {
    struct sp_master      *master;
    enum stage             stage;
    uint32_t               attempt;
    uint64_t               generation;
    struct sp_probe        probe;
    struct event          *probe_event, *timer;
    struct sp_plan        *plan; /* of the new generation, until the commit */
    int                    bundle;
    struct sp_sockets     *sockets;
    struct sp_process_log *logs;
    unsigned               parallel; /* how many may build at a time: the others keep serving */
    struct waiters         now, next;
    bool                   again; /* asked for while this one runs: files may have changed since they were read */
    uint64_t               since_ns, commit_ns, swap_us;
    uint64_t               kept, trimmed, closed;
};

static void step(struct sp_reload *r);
static void start(struct sp_reload *r);

bool
sp_reload_runs(const struct sp_master *m)
{
    return m->reload != NULL && m->reload->stage != IDLE;
}

static void
arm(struct sp_reload *r, int seconds)
{
    const struct timeval limit = {seconds, 0};

    event_add(r->timer, &limit);
}

/* -- the end of one -- */

static void
forget(struct sp_reload *r)
{
    if (r->probe_event != NULL) {
        event_free(r->probe_event);
        r->probe_event = NULL;
    }
    if (r->probe.fd >= 0) {
        sp_probe_cancel(&r->probe);
    }
    event_del(r->timer);
    sp_sockets_close(r->sockets);
    r->sockets = NULL;
    if (r->logs != NULL) {
        sp_master_free_logs(r->logs, r->plan->nlogs);
        r->logs = NULL;
    }
    sp_plan_free(r->plan);
    r->plan = NULL;
    if (r->bundle >= 0) {
        close(r->bundle);
        r->bundle = -1;
    }
}

static void
answer(struct waiters *w, enum sp_exit code, const char *err, const char *out)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (err != NULL) {
            sp_client_err(w->at[i], sp_str_c(err));
        }
        sp_client_out(w->at[i], sp_str_c(out));
        sp_client_exit(w->at[i], code);
    }
    w->n = 0;
}

static void
end(struct sp_reload *r, enum sp_exit code, const char *err, const char *out)
{
    forget(r);
    r->stage = IDLE;
    if (r->master->phase == SP_PHASE_RUN) {
        sp_notify_ready(r->master->generation);
    }
    answer(&r->now, code, err, out);
    if (r->again && r->master->phase == SP_PHASE_RUN) {
        r->again = false;
        r->now = r->next;
        r->next.n = 0;
        start(r);
    }
}

/* why: text of one or more lines, taken over (malloc'd, or NULL: out of memory). */
static void
refuse(struct sp_reload *r, char *why)
{
    char line[160];

    sp_master_log_lines(SP_LOG_ERROR, why == NULL ? "out of memory" : why);
    snprintf(line, sizeof line, "reload refused: generation %llu stays in force",
             (unsigned long long)r->master->generation);
    sp_log(SP_LOG_ERROR, "%s", line);
    size_t n = strlen(line);
    snprintf(line + n, sizeof line - n, "\n");
    for (unsigned i = 0; i < r->now.n; i++) {
        sp_client_err(r->now.at[i], sp_str_c(why == NULL ? "out of memory\n" : why));
    }
    end(r, SP_EXIT_REFUSED, line, "");
    free(why);
}

static char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static char *
text(const char *fmt, ...)
{
    va_list ap;
    char   *out;

    va_start(ap, fmt);
    if (vasprintf(&out, fmt, ap) < 0) {
        out = NULL;
    }
    va_end(ap);
    return out;
}

static void
abort_all(struct sp_reload *r, char *why)
{
    for (unsigned i = 0; i < r->master->nslots; i++) {
        struct sp_slot *s = &r->master->slots[i];
        if (s->asked && s->channel != NULL) {
            (void)sp_channel_send(s->channel, SP_MSG_ABORT, r->attempt, SP_STR(""), NULL, 0);
        }
        s->asked = s->prepared = false;
    }
    refuse(r, why);
}

/* -- commit -- */

static void
report(struct sp_reload *r, unsigned missing)
{
    uint64_t now_ns = sp_clock_ns();
    char    *warnings = r->master->plan->warnings[0] == '\0' ? NULL : r->master->plan->warnings;
    char    *line = text("reloaded: generation %llu in force; sessions: %llu kept, %llu trimmed, %llu closed; "
                            "swapped in %.3f ms, every session checked after %.1f ms, %.0f ms in all\n",
                         (unsigned long long)r->master->generation, (unsigned long long)r->kept,
                         (unsigned long long)r->trimmed, (unsigned long long)r->closed, (double)r->swap_us / 1e3,
                         (double)(now_ns - r->commit_ns) / 1e6, (double)(now_ns - r->since_ns) / 1e6);

    sp_master_log_lines(SP_LOG_WARN, warnings);
    sp_master_log_lines(SP_LOG_NOTICE, line);
    if (missing > 0) {
        sp_log(SP_LOG_WARN, "%u processes have not yet reported that they checked every session", missing);
    }
    end(r, SP_EXIT_OK, warnings, line == NULL ? "reloaded\n" : line);
    free(line);
}

static unsigned
not_committed(const struct sp_reload *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->master->nslots; i++) {
        const struct sp_slot *s = &r->master->slots[i];
        n += s->prepared && !s->committed;
    }
    return n;
}

static void
commit(struct sp_reload *r)
{
    struct sp_master *m = r->master;
    char             *error = NULL;

    if (sp_sockets_listen(r->sockets, &error) < 0) {
        abort_all(r, error);
        return;
    }
    struct sp_sockets *old_sockets = m->sockets;
    struct sp_plan    *old_plan = m->plan;
    close(m->bundle);
    m->bundle = r->bundle;
    m->plan = r->plan;
    m->sockets = r->sockets;
    m->generation = r->generation;
    sp_master_use_logs(m, r->logs, r->plan->nlogs, r->plan->log_level);
    r->bundle = -1;
    r->plan = NULL;
    r->sockets = NULL;
    r->logs = NULL;
    r->stage = COMMITTING;
    r->commit_ns = sp_clock_ns();
    for (unsigned i = 0; i < m->nslots; i++) {
        struct sp_slot *s = &m->slots[i];
        if (s->prepared && s->channel != NULL) {
            s->generation = m->generation;
            (void)sp_channel_send(s->channel, SP_MSG_COMMIT, r->attempt, SP_STR(""), NULL, 0);
        }
    }
    sp_sockets_close(old_sockets);
    sp_plan_free(old_plan);
    arm(r, ANSWER_LIMIT_S);
    if (not_committed(r) == 0) {
        report(r, 0);
    }
}

/* -- prepare -- */

static int
send_prepare(struct sp_reload *r, struct sp_slot *s)
{
    struct sp_pack body = {0};
    unsigned       n = s->kind == SP_WORKER ? r->sockets->count : 0;
    int           *fds = calloc(n + 1u, sizeof *fds);

    if (fds == NULL) {
        return -ENOMEM;
    }
    fds[0] = r->bundle;
    if (n > 0) {
        sp_sockets_of(r->sockets, s->index, fds + 1);
    }
    sp_pack_u64(&body, r->generation);
    int err = sp_channel_send(s->channel, SP_MSG_PREPARE, r->attempt, (struct sp_str){body.p, body.n}, fds, n + 1u);
    sp_pack_free(&body);
    free(fds);
    return err;
}

/* Asks those that may be asked now; commits when all that live are prepared. */
static void
step(struct sp_reload *r)
{
    struct sp_master *m = r->master;
    unsigned          busy = 0, starting = 0, left = 0;
    char              name[16];

    for (unsigned i = 0; i < m->nslots; i++) {
        busy += m->slots[i].asked && !m->slots[i].prepared;
        starting += m->slots[i].state == SP_SLOT_STARTING;
    }
    for (unsigned i = 0; i < m->nslots; i++) {
        struct sp_slot *s = &m->slots[i];
        if (s->state != SP_SLOT_UP || s->asked) {
            continue;
        }
        if (busy >= r->parallel) {
            left++;
            continue;
        }
        int err = send_prepare(r, s);
        if (err < 0) {
            abort_all(r, text("%s cannot be asked: %s\n", sp_slot_name(s, name, sizeof name), strerror(-err)));
            return;
        }
        s->asked = true;
        busy++;
        arm(r, ANSWER_LIMIT_S);
    }
    if (busy + starting + left == 0) {
        commit(r);
    }
}

static void
on_prepared(struct sp_reload *r, struct sp_slot *s, struct sp_str digest)
{
    char name[16];

    if (digest.n != sizeof r->plan->digest || memcmp(digest.p, r->plan->digest, digest.n) != 0) {
        abort_all(r, text("%s built something else than the probe from the same files\n",
                          sp_slot_name(s, name, sizeof name)));
        return;
    }
    s->prepared = true;
    step(r);
}

static void
on_committed(struct sp_reload *r, struct sp_slot *s, struct sp_unpack u)
{
    uint32_t kept = sp_unpack_u32(&u), trimmed = sp_unpack_u32(&u), closed = sp_unpack_u32(&u);
    uint64_t swap_us = sp_unpack_u64(&u);

    if (!sp_unpack_whole(&u) || s->committed) {
        return;
    }
    s->committed = true;
    r->kept += kept;
    r->trimmed += trimmed;
    r->closed += closed;
    if (swap_us > r->swap_us) {
        r->swap_us = swap_us;
    }
    if (not_committed(r) == 0) {
        report(r, 0);
    }
}

void
sp_reload_message(struct sp_slot *s, const struct sp_channel_message *msg)
{
    struct sp_reload *r = s->master->reload;
    char              name[16];

    if (r == NULL || msg->id != r->attempt) {
        return; /* the answer to a reload that was given up */
    }
    sp_clock_update();
    if (r->stage == PREPARING && s->asked && !s->prepared && msg->type == SP_MSG_PREPARED) {
        on_prepared(r, s, msg->body);
    } else if (r->stage == PREPARING && s->asked && msg->type == SP_MSG_FAILED) {
        s->asked = false;
        abort_all(r, text("%s cannot take the new configuration: %.*s\n", sp_slot_name(s, name, sizeof name),
                          SP_STR_ARG(msg->body)));
    } else if (r->stage == COMMITTING && msg->type == SP_MSG_COMMITTED) {
        on_committed(r, s, (struct sp_unpack){msg->body.p, msg->body.n, false});
    }
}

void
sp_reload_slot_up(struct sp_slot *s)
{
    if (s->master->reload != NULL && s->master->reload->stage == PREPARING) {
        step(s->master->reload);
    }
}

void
sp_reload_slot_died(struct sp_slot *s)
{
    struct sp_reload *r = s->master->reload;
    bool              asked = s->asked;
    char              name[16];

    s->asked = s->prepared = s->committed = false;
    if (r != NULL && r->stage == PREPARING && asked) {
        abort_all(r, text("%s died while it took the new configuration\n", sp_slot_name(s, name, sizeof name)));
    } else if (r != NULL && r->stage == PREPARING) {
        step(r);
    } else if (r != NULL && r->stage == COMMITTING && not_committed(r) == 0) {
        report(r, 0);
    }
}

/* -- probe -- */

static void
on_probe(evutil_socket_t fd, short what, void *arg)
{
    struct sp_reload      *r = arg;
    struct sp_master      *m = r->master;
    struct sp_probe_result result;
    char                  *error = NULL;
    (void)fd;
    (void)what;

    sp_clock_update();
    event_free(r->probe_event);
    r->probe_event = NULL;
    sp_probe_finish(&r->probe, 1000, &result);
    if (result.err < 0) {
        refuse(r, result.text);
        return;
    }
    r->plan = result.plan;
    r->bundle = result.bundle;
    r->plan->workers = m->plan->workers; /* `auto` is counted once */
    int err = sp_master_open_logs(r->plan, &r->logs, &error);
    if (err == 0) {
        err = sp_sockets_open(r->plan, m->sockets, 0, &r->sockets, &error);
    }
    if (err < 0) {
        refuse(r, error != NULL ? error : text("%s\n", strerror(-err)));
        return;
    }
    r->stage = PREPARING;
    for (unsigned i = 0; i < m->nslots; i++) {
        m->slots[i].asked = m->slots[i].prepared = m->slots[i].committed = false;
    }
    arm(r, ANSWER_LIMIT_S);
    step(r);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sp_reload *r = arg;
    char              name[16];
    (void)fd;
    (void)what;

    sp_clock_update();
    if (r->stage == PROBING) {
        refuse(r, text("the configuration could not be read and checked in time\n"));
    } else if (r->stage == COMMITTING) {
        report(r, not_committed(r));
    } else if (r->stage == PREPARING) {
        const struct sp_slot *late = &r->master->slots[0];
        for (unsigned i = 0; i < r->master->nslots; i++) {
            const struct sp_slot *s = &r->master->slots[i];
            if ((s->asked && !s->prepared) || s->state == SP_SLOT_STARTING) {
                late = s;
            }
        }
        abort_all(r, text("%s has not answered for %d s\n", sp_slot_name(late, name, sizeof name), ANSWER_LIMIT_S));
    }
}

static void
start(struct sp_reload *r)
{
    struct sp_master       *m = r->master;
    struct sp_probe_request q = {m->options, m->registry, m->generation + 1, m->bundle, m->plan};

    r->stage = PROBING;
    r->attempt++;
    r->generation = q.generation;
    r->kept = r->trimmed = r->closed = r->swap_us = 0;
    r->since_ns = sp_clock_ns();
    sp_notify_reloading();
    int err = sp_probe_start(&q, &r->probe);
    if (err == 0) {
        r->probe_event = event_new(m->base, r->probe.fd, EV_READ, on_probe, r);
        err = r->probe_event == NULL || event_add(r->probe_event, NULL) < 0 ? -ENOMEM : 0;
    }
    if (err < 0) {
        refuse(r, text("the check of the configuration cannot be started: %s\n", strerror(-err)));
        return;
    }
    arm(r, (int)(SP_PROBE_TIMEOUT_MS / 1000) + 5);
}

/* -- requests -- */

static int
create(struct sp_master *m)
{
    long              processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct sp_reload *r = calloc(1, sizeof *r);

    if (r == NULL) {
        return -ENOMEM;
    }
    r->master = m;
    r->bundle = -1;
    r->probe.fd = -1;
    r->parallel = processors >= 4 ? (unsigned)processors / 2 : 1;
    r->timer = evtimer_new(m->base, on_timer, r);
    if (r->timer == NULL) {
        free(r);
        return -ENOMEM;
    }
    m->reload = r;
    return 0;
}

static void
reject(struct sp_client *client, const char *why)
{
    sp_log(SP_LOG_WARN, "no reload: %s", why);
    if (client != NULL) {
        sp_client_errf(client, "sallyport: no reload: %s\n", why);
        sp_client_exit(client, SP_EXIT_FAILURE);
    }
}

void
sp_reload_request(struct sp_master *m, struct sp_client *client)
{
    if (m->phase != SP_PHASE_RUN) {
        reject(client, m->phase == SP_PHASE_START ? "the gateway is still starting" : "the gateway is ending");
        return;
    }
    if (m->upgrade != NULL) {
        reject(client, "a binary upgrade is under way");
        return;
    }
    if (m->reload == NULL && create(m) < 0) {
        reject(client, "out of memory");
        return;
    }
    struct sp_reload *r = m->reload;
    bool              runs = r->stage != IDLE;
    struct waiters   *w = runs ? &r->next : &r->now;
    if (client != NULL) {
        if (w->n == CLIENTS_MAX) {
            reject(client, "too many wait for one already");
            return;
        }
        w->at[w->n++] = client;
    }
    if (runs) {
        r->again = true;
    } else {
        start(r);
    }
}

void
sp_reload_cancel(struct sp_master *m, const char *why)
{
    struct sp_reload *r = m->reload;

    if (r == NULL) {
        return;
    }
    r->again = false;
    if (r->stage == PROBING || r->stage == PREPARING) {
        abort_all(r, text("%s\n", why));
    } else if (r->stage == COMMITTING) {
        report(r, not_committed(r));
    }
    answer(&r->next, SP_EXIT_FAILURE, why, "\n");
}

void
sp_reload_free(struct sp_master *m)
{
    if (m->reload != NULL) {
        event_free(m->reload->timer);
        free(m->reload);
        m->reload = NULL;
    }
}
