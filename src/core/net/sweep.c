/*
 * After a reload: every session is brought up to date, by its next packet or by the sweep, whichever comes first; and the
 * graceful end of a worker.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "net/net_state.h"

#define DRAIN_TICK_MS  64u
#define DRAIN_GRACE_MS 2000u /* for the last bytes of the last ones */
#define DRAIN_BEGIN_MS                                                                                                 \
    2000u /* so long nobody is sent away who has just come: he may be in the middle of his handshake */

static void
move_to(struct sp_conn *c, struct sp_snapshot *now, const struct sp_listener_conf *listener)
{
    struct sp_snapshot *was = c->snapshot;

    c->snapshot = sp_snapshot_ref(now);
    c->listener = listener;
    sp_snapshot_unref(was);
}

bool
sp_conn_adopt(struct sp_conn *c)
{
    struct sp_snapshot            *now = c->process->snapshot;
    const struct sp_listener_conf *next;

    if (c->snapshot == now) {
        return true;
    }
    next = sp_listener_successor(now, c->listener);
    if (next == NULL || next->trust == NULL || next->identity_from != c->listener->identity_from) {
        return false;
    }
    move_to(c, now, next);
    return true;
}

/* Does the credential of a live session satisfy the listener as it is now? */
static int
recheck(struct sp_conn *c, const struct sp_listener_conf *next, char *why, size_t cap)
{
    struct sp_identity *id = c->identity;

    if (next->trust == NULL) {
        return 0; /* it asks for less than it did */
    }
    if (c->ssl == NULL) {
        (void)snprintf(why, cap, "the listener asks for TLS now");
        return -EACCES;
    }
    if (id->credential == SP_CRED_NONE) {
        if (next->client_cert != SP_CLIENT_CERT_REQUIRED) {
            return 0;
        }
        (void)snprintf(why, cap, "the listener asks for a certificate now");
        return -EACCES;
    }
    if (next->identity_from != c->listener->identity_from) {
        (void)snprintf(why, cap, "the listener takes identities from elsewhere now");
        return -EACCES;
    }
    if (id->verified_ok && memcmp(id->verified_digest, next->trust->digest, 32) == 0) {
        return 0;
    }
    return sp_trust_check(next->trust, id, why, cap);
}

static void
farewell(struct sp_conn *c, enum sp_close_why why)
{
    sp_conn_net(c)->sweep.closed++;
    if (c->protocol->farewell != NULL) {
        c->protocol->farewell(c, why);
    }
    sp_conn_close(c, why);
}

static void
credential_lost(struct sp_conn *c, const char *why)
{
    static struct sp_log_limit limit;
    char                       peer[64], name[128];

    sp_log_limited(&limit, 50, SP_LOG_NOTICE, "peer=%s client=%s closed: %s", sp_conn_peer(c, peer, sizeof(peer)),
                   sp_str_escape(name, sizeof(name), c->identity->name), why);
    sp_conn_net(c)->stats.credential_closes++;
    farewell(c, SP_CLOSE_CREDENTIAL);
}

bool
sp_conn_fresh(struct sp_conn *c)
{
    struct sp_snapshot            *now = c->process->snapshot;
    const struct sp_listener_conf *next;
    enum sp_verdict                verdict;
    char                           why[1024] = "";

    if (c->state != SP_CONN_OPEN) {
        return false;
    }
    if (c->snapshot == now) {
        return true;
    }
    next = sp_listener_successor(now, c->listener);
    if (next == NULL) {
        farewell(c, SP_CLOSE_SHUTDOWN);
        return false;
    }
    if (recheck(c, next, why, sizeof(why)) < 0) {
        credential_lost(c, why);
        return false;
    }
    verdict = c->protocol->rebind == NULL ? SP_KEEP : c->protocol->rebind(c, c->snapshot, now);
    if (verdict == SP_CLOSE) {
        farewell(c, SP_CLOSE_POLICY);
        return false;
    }
    sp_conn_net(c)->sweep.kept += verdict == SP_KEEP;
    sp_conn_net(c)->sweep.trimmed += verdict == SP_TRIM;
    move_to(c, now, next);
    return c->state == SP_CONN_OPEN;
}

/* -- the sweep -- */

void
sp_net_sweep(struct sp_net *n, void (*done)(struct sp_process *p, unsigned kept, unsigned trimmed, unsigned closed))
{
    sp_net_use_limits(n);
    n->sweep = (struct sp_sweep){
        .next = n->conns, .running = true, .done = done}; /* newer ones stand before it and are up to date */
    sp_net_wake(n);
}

void
sp_net_sweep_step(struct sp_net *n)
{
    uint64_t from = sp_clock_ns();

    for (unsigned i = 0; i < SP_NET_SWEEP && n->sweep.next != NULL; i++) {
        struct sp_conn *c = n->sweep.next;
        n->sweep.next = c->next;
        (void)sp_conn_fresh(c);
        if (sp_clock_ns() - from > SP_NET_TURN_NS) { /* chains that are verified in full */
            break;
        }
    }
    if (n->sweep.next == NULL) {
        n->sweep.running = false;
        if (n->sweep.done != NULL) {
            n->sweep.done(n->process, n->sweep.kept, n->sweep.trimmed, n->sweep.closed);
        }
    }
}

/* -- the end -- */

static void
say_goodbye(struct sp_conn *c)
{
    if (c->state < SP_CONN_OPEN) {
        sp_conn_kill(c, SP_CLOSE_SHUTDOWN);
    } else if (c->state == SP_CONN_OPEN) {
        if (c->protocol->farewell != NULL) {
            c->protocol->farewell(c, SP_CLOSE_SHUTDOWN);
        }
        sp_conn_close(c, SP_CLOSE_SHUTDOWN);
    }
}

static void
on_drain(struct sp_timer *t, void *arg)
{
    struct sp_net *n = arg;
    uint64_t       now, all = n->drain.until_ms - n->drain.started_ms, gone;
    unsigned       live = 0, want;

    sp_net_turn(n);
    now = sp_clock_ms();
    gone = now - n->drain.started_ms;
    want = now >= n->drain.until_ms ? 0 : (unsigned)(n->drain.total - n->drain.total * gone / all);
    for (struct sp_conn *c = n->conns; c != NULL; c = c->next) {
        live += c->state <= SP_CONN_OPEN;
    }
    for (struct sp_conn *c = n->conns, *next; c != NULL && live > want; c = next) {
        next = c->next;
        if (now - c->opened_ms < DRAIN_BEGIN_MS) {
            continue;
        }
        live -= c->state <= SP_CONN_OPEN;
        say_goodbye(c);
    }
    if (now >= n->drain.until_ms + DRAIN_GRACE_MS) {
        while (n->conns != NULL) {
            sp_conn_kill(n->conns, SP_CLOSE_SHUTDOWN);
        }
    }
    sp_timer_arm(n->process->wheel, t, DRAIN_TICK_MS, on_drain, n);
}

void
sp_net_drain(struct sp_net *n, uint64_t drain_ms, void (*done)(struct sp_process *p))
{
    n->drain = (struct sp_drain){.running = true,
                                 .started_ms = sp_clock_ms(),
                                 .until_ms = sp_clock_ms() + drain_ms,
                                 .total = n->count,
                                 .done = done};
    sp_net_accept(n, false);
    on_drain(&n->drain_timer, n);
    sp_net_wake(n);
}

void
sp_net_drain_check(struct sp_net *n)
{
    if (n->count == 0) {
        n->drain.running = false;
        sp_timer_cancel(&n->drain_timer);
        n->drain.done(n->process);
    }
}
