#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/router_internal.h"

/* Wire: a token (0: no answer wanted), then the filter. An answer is the token alone, "end" is empty. */

struct sp_heard {
    struct sp_heard      *next;
    struct sp_subscriber *subscriber;
    void (*fn)(struct sp_subscriber *, void *);
    void *arg;
};

struct interest_wait { /* one announcement that not every worker has answered */
    struct sp_filter *filter;
    uint64_t          token;
    uint64_t          unanswered;
};

static struct sp_str
wait_key(const struct interest_wait *w)
{
    return (struct sp_str){(const char *)&w->token, sizeof(w->token)};
}

static bool
each_worker(const struct sp_router *r, unsigned *slot)
{
    for (; *slot < r->process->workers; (*slot)++) {
        if (*slot != r->process->slot && sp_bus_peer_is_up(r->process->bus, *slot)) {
            return true;
        }
    }
    return false;
}

static int
send_filter(struct sp_router *r, unsigned to, unsigned type, uint64_t token, struct sp_str text)
{
    struct iovec iov[2] = {{&token, sizeof(token)}, {(void *)(uintptr_t)text.p, text.n}};

    return sp_bus_send(r->process->bus, to, type, 0, iov, 2);
}

/* What was told to some workers when it could not be told to all. */
static void
take_back(struct sp_router *r, const struct sp_filter *f, uint64_t told)
{
    for (; told != 0; told &= told - 1) {
        (void)send_filter(r, (unsigned)__builtin_ctzll(told), SP_BUS_INTEREST_DEL, 0, filter_text(f));
    }
}

int
interest_announce(struct sp_router *r, struct sp_filter *f)
{
    struct interest_wait *w = malloc(sizeof(*w));

    if (w == NULL) {
        return -ENOMEM;
    }
    *w = (struct interest_wait){.filter = f, .token = ++r->next_token};
    for (unsigned slot = 0; each_worker(r, &slot); slot++) {
        if (send_filter(r, slot, SP_BUS_INTEREST_ADD, w->token, filter_text(f)) < 0) {
            goto fail;
        }
        w->unanswered |= UINT64_C(1) << slot;
    }
    if (w->unanswered == 0) {
        free(w);
        return 0;
    }
    if (sp_map_put(&r->waits, wait_key(w), w, NULL) < 0) {
        goto fail;
    }
    f->unheard = w;
    return 0;

fail:
    take_back(r, f, w->unanswered);
    free(w);
    return -ENOMEM;
}

void
interest_withdraw(struct sp_router *r, struct sp_filter *f)
{
    for (unsigned slot = 0; each_worker(r, &slot); slot++) {
        (void)send_filter(r, slot, SP_BUS_INTEREST_DEL, 0,
                          filter_text(f)); /* lost: it sends what nobody wants, no harm */
    }
    if (f->unheard != NULL) {
        sp_map_remove(&r->waits, wait_key(f->unheard));
        free(f->unheard);
        f->unheard = NULL;
    }
}

/* -- those who wait -- */

int
interest_await(struct sp_router *r, struct sp_subscription *sub, void (*fn)(struct sp_subscriber *, void *), void *arg)
{
    struct sp_heard *h;

    (void)r;
    if (sub->filter->unheard == NULL) {
        fn(sub->subscriber, arg);
        return 0;
    }
    h = malloc(sizeof(*h));
    if (h == NULL) {
        return -ENOMEM;
    }
    *h = (struct sp_heard){sub->heard, sub->subscriber, fn, arg};
    sub->heard = h;
    return 0;
}

void
interest_release(struct sp_router *r, struct sp_subscription *sub)
{
    while (sub->heard != NULL) {
        struct sp_heard *h = sub->heard;

        sub->heard = h->next;
        h->next = r->due;
        r->due = h;
    }
}

void
interest_forget(struct sp_router *r, const struct sp_subscriber *s)
{
    for (struct sp_heard **at = &r->due; *at != NULL;) {
        struct sp_heard *h = *at;

        if (h->subscriber == s) {
            *at = h->next;
            free(h);
        } else {
            at = &h->next;
        }
    }
}

/* One by one from the list: a callback may add to it, or take others out. */
void
interest_call(struct sp_router *r)
{
    while (r->due != NULL) {
        struct sp_heard *h = r->due;

        r->due = h->next;
        h->fn(h->subscriber, h->arg);
        free(h);
    }
}

static void
call_due(struct sp_process *p, void *arg)
{
    (void)arg;
    p->router->call_due = false;
    interest_call(p->router);
}

/* For where the caller may be in the middle of its subscriptions. */
void
interest_call_later(struct sp_router *r)
{
    if (r->due != NULL && !r->call_due) {
        r->call_due = true;
        sp_process_later(r->process, call_due, NULL);
    }
}

/* Everyone has answered; the wait is out of the map already. */
static void
finish(struct sp_router *r, struct interest_wait *w)
{
    w->filter->unheard = NULL;
    for (struct sp_subscription *sub = w->filter->subscriptions; sub != NULL; sub = sub->next_same) {
        interest_release(r, sub);
    }
    free(w);
}

static void
answered(struct sp_router *r, unsigned slot, uint64_t token)
{
    struct sp_str         key = {(const char *)&token, sizeof(token)};
    struct interest_wait *w = sp_map_get(&r->waits, key);

    if (w == NULL) {
        return; /* withdrawn meanwhile */
    }
    w->unanswered &= ~(UINT64_C(1) << slot);
    if (w->unanswered == 0) {
        sp_map_remove(&r->waits, key);
        finish(r, w);
        interest_call(r);
    }
}

/* A worker that is gone answers nothing any more. Whoever has waited for it is called by the next interest_call. */
static void
answered_all(struct sp_router *r, unsigned slot)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    while ((e = sp_map_next(&r->waits, &pos)) != NULL) {
        struct interest_wait *w = e->value;

        w->unanswered &= ~(UINT64_C(1) << slot);
        if (w->unanswered == 0) {
            sp_map_remove(&r->waits, wait_key(w));
            finish(r, w);
        }
    }
}

/* -- what others want -- */

static bool
malformed(unsigned from)
{
    static struct sp_log_limit limit;

    sp_log_limited(&limit, 10, SP_LOG_ALERT, "bus: malformed interest from slot %u ignored", from);
    return false;
}

static bool
filter_in(const struct sp_process *p, unsigned from, const void *body, size_t n, uint64_t *token, struct sp_str *text)
{
    if (from >= p->workers || n <= sizeof(*token) || n - sizeof(*token) > UINT16_MAX) {
        return malformed(from);
    }
    memcpy(token, body, sizeof(*token));
    *text = (struct sp_str){(const char *)body + sizeof(*token), n - sizeof(*token)};
    return true;
}

static void
on_add(struct sp_process *p, unsigned from, const void *body, size_t n)
{
    struct sp_router *r = p->router;
    struct sp_filter *f;
    uint64_t          token;
    struct sp_str     text;

    if (!filter_in(p, from, body, n, &token, &text)) {
        return;
    }
    f = router_filter(r, text);
    if (f == NULL) {
        sp_log(SP_LOG_CRIT, "out of memory for the interest of worker %u", from);
        return; /* no answer: its SUBACK waits rather than promise what cannot be kept */
    }
    if ((f->workers & (UINT64_C(1) << from)) == 0) {
        f->workers |= UINT64_C(1) << from;
        routes_stale(r, text);
    }
    if (token != 0) {
        struct iovec iov = {&token, sizeof(token)};

        if (sp_bus_send(p->bus, from, SP_BUS_INTEREST_ACK, 0, &iov, 1) == -ENOMEM) {
            sp_log(SP_LOG_CRIT, "out of memory: worker %u waits in vain for an answer about an interest", from);
        }
    }
}

static void
on_del(struct sp_process *p, unsigned from, const void *body, size_t n)
{
    struct sp_router *r = p->router;
    struct sp_filter *f;
    uint64_t          token;
    struct sp_str     text;

    if (!filter_in(p, from, body, n, &token, &text)) {
        return;
    }
    f = sp_trie_get(r->filters, text);
    if (f != NULL && (f->workers & (UINT64_C(1) << from)) != 0) {
        f->workers &= ~(UINT64_C(1) << from);
        routes_stale(r, text);
        router_filter_settle(r, f);
    }
}

static void
on_ack(struct sp_process *p, unsigned from, const void *body, size_t n)
{
    uint64_t token;

    if (from >= p->workers || n != sizeof(token)) {
        (void)malformed(from);
        return;
    }
    memcpy(&token, body, sizeof(token));
    answered(p->router, from, token);
}

static void
settle_hold(struct sp_router *r)
{
    if (r->held && r->peers_known && (r->end_awaited & ~r->ended) == 0) {
        r->held = false;
        sp_process_release(r->process);
    }
}

static void
on_end(struct sp_process *p, unsigned from, const void *body, size_t n)
{
    (void)body;
    if (from >= p->workers || n != 0) {
        (void)malformed(from);
        return;
    }
    p->router->ended |= UINT64_C(1) << from;
    settle_hold(p->router);
}

struct telling {
    struct sp_router *router;
    unsigned          slot;
    int               rc;
};

static bool
tell_one(void *value, void *arg)
{
    struct telling   *t = arg;
    struct sp_filter *f = value;

    if (f->subscriptions != NULL) {
        t->rc = send_filter(t->router, t->slot, SP_BUS_INTEREST_ADD, 0, filter_text(f));
    }
    return t->rc == 0;
}

/* The worker does not accept before it has heard the end, so that must not be lost. */
static void
tell_interest(struct sp_router *r, unsigned slot)
{
    struct telling t = {r, slot, 0};

    sp_trie_walk(r->filters, tell_one, &t);
    if (t.rc == 0) {
        t.rc = sp_bus_send(r->process->bus, slot, SP_BUS_INTEREST_END, 0, NULL, 0);
    }
    if (t.rc == -ENOMEM) {
        r->untold |= UINT64_C(1) << slot;
        sp_log(SP_LOG_CRIT, "out of memory: worker %u hears later what is subscribed to here", slot);
    }
}

static void
on_room(struct sp_process *p)
{
    struct sp_router *r = p->router;
    uint64_t          again = r->untold;

    r->untold = 0;
    for (; again != 0; again &= again - 1) {
        tell_interest(r, (unsigned)__builtin_ctzll(again));
    }
}

void
sp_router_peer_up(struct sp_router *r, unsigned slot)
{
    if (slot < r->process->workers) {
        tell_interest(r, slot);
    }
}

void
sp_router_peers_known(struct sp_router *r)
{
    r->peers_known = true;
    for (unsigned slot = 0; each_worker(r, &slot); slot++) {
        r->end_awaited |= UINT64_C(1) << slot;
    }
    settle_hold(r);
}

struct leaving {
    uint64_t          mask;
    struct sp_filter *unwanted; /* the trie must not change while it is walked */
};

static bool
leave_one(void *value, void *arg)
{
    struct leaving   *l = arg;
    struct sp_filter *f = value;

    if ((f->workers & l->mask) != 0) {
        f->workers &= ~l->mask;
        if (f->workers == 0 && f->subscriptions == NULL) {
            f->next_unwanted = l->unwanted;
            l->unwanted = f;
        }
    }
    return true;
}

void
sp_router_peer_down(struct sp_router *r, unsigned slot)
{
    struct leaving l = {UINT64_C(1) << slot % 64, NULL};

    if (slot >= r->process->workers) {
        return;
    }
    r->end_awaited &= ~l.mask;
    r->ended &= ~l.mask;
    r->untold &= ~l.mask;
    sp_trie_walk(r->filters, leave_one, &l);
    while (l.unwanted != NULL) {
        struct sp_filter *f = l.unwanted;

        l.unwanted = f->next_unwanted;
        router_filter_settle(r, f);
    }
    r->serial++;
    flow_peer_down(r, slot);
    answered_all(r, slot);
    interest_call(r);
    settle_hold(r);
}

void
interest_handlers(struct sp_router *r)
{
    sp_bus_handle(r->process->bus, SP_BUS_INTEREST_ADD, on_add);
    sp_bus_handle(r->process->bus, SP_BUS_INTEREST_DEL, on_del);
    sp_bus_handle(r->process->bus, SP_BUS_INTEREST_ACK, on_ack);
    sp_bus_handle(r->process->bus, SP_BUS_INTEREST_END, on_end);
    (void)sp_bus_on_room(r->process->bus, on_room);
}

void
interest_stop(struct sp_router *r)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    while ((e = sp_map_next(&r->waits, &pos)) != NULL) {
        free(e->value);
    }
    sp_map_clear(&r->waits);
    while (r->due != NULL) {
        struct sp_heard *h = r->due;

        r->due = h->next;
        free(h);
    }
}
