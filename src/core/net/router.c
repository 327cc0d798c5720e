#include "net/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/router_internal.h"

const struct sp_metric_def sp_router_metrics[ROUTER_METRICS] = {
    {"sallyport_routes", "topics whose route is cached", SP_GAUGE},
    {"sallyport_route_builds_total", "routes built or built again", SP_COUNTER},
    {"sallyport_subscriptions", "subscriptions in force", SP_GAUGE},
    {"sallyport_bus_messages_sent_total", "messages passed to other workers", SP_COUNTER},
    {"sallyport_bus_messages_received_total", "messages that came from other workers", SP_COUNTER},
    {"sallyport_bus_messages_dropped_total", "messages that found a ring full (QoS 0) or their worker gone",
     SP_COUNTER},
    {"sallyport_publisher_pauses_total", "times a publisher was held up by a slow receiver or a full ring", SP_COUNTER},
};
const unsigned sp_router_nmetrics = ROUTER_METRICS;

/* -- filters -- */

struct sp_filter *
router_filter(struct sp_router *r, struct sp_str text)
{
    void            **place = sp_trie_put(r->filters, text);
    struct sp_filter *f;

    if (place == NULL) {
        return NULL;
    }
    if (*place != NULL) {
        return *place;
    }
    f = calloc(1, sizeof(*f) + text.n);
    if (f == NULL) {
        sp_trie_remove(r->filters, text);
        return NULL;
    }
    memcpy(f->text, text.p, text.n);
    f->text_bytes = (uint32_t)text.n;
    *place = f;
    return f;
}

void
router_filter_settle(struct sp_router *r, struct sp_filter *f)
{
    if (f->subscriptions == NULL && f->workers == 0) {
        sp_trie_remove(r->filters, filter_text(f));
        free(f);
    }
}

/* -- subscriptions -- */

/* Along both lists at once: the shorter one decides, so neither a client with many filters nor a filter with many clients
 * makes it slow. */
static struct sp_subscription *
find(const struct sp_router *r, const struct sp_subscriber *s, struct sp_str filter)
{
    const struct sp_filter *f = sp_trie_get(r->filters, filter);
    struct sp_subscription *same = f == NULL ? NULL : f->subscriptions, *own = s->subscriptions;

    for (; same != NULL && own != NULL; same = same->next_same, own = own->next) {
        if (same->subscriber == s) {
            return same;
        }
        if (own->filter == f) {
            return own;
        }
    }
    return NULL;
}

static void
link_subscription(struct sp_subscription *sub)
{
    struct sp_subscriber *s = sub->subscriber;
    struct sp_filter     *f = sub->filter;

    sub->next = s->subscriptions;
    sub->prev = &s->subscriptions;
    if (sub->next != NULL) {
        sub->next->prev = &sub->next;
    }
    s->subscriptions = sub;
    sub->next_same = f->subscriptions;
    sub->prev_same = &f->subscriptions;
    if (sub->next_same != NULL) {
        sub->next_same->prev_same = &sub->next_same;
    }
    f->subscriptions = sub;
}

static void
unlink_subscription(struct sp_subscription *sub)
{
    *sub->prev = sub->next;
    if (sub->next != NULL) {
        sub->next->prev = sub->prev;
    }
    *sub->prev_same = sub->next_same;
    if (sub->next_same != NULL) {
        sub->next_same->prev_same = sub->prev_same;
    }
}

static int
add(struct sp_router *r, struct sp_subscriber *s, struct sp_str filter, struct sp_subscription **out)
{
    struct sp_filter       *f = router_filter(r, filter);
    struct sp_subscription *sub = calloc(1, sizeof(*sub));

    if (f == NULL || sub == NULL || (f->subscriptions == NULL && interest_announce(r, f) < 0)) {
        goto fail;
    }
    sub->subscriber = s;
    sub->filter = f;
    sub->text = filter_text(f);
    link_subscription(sub);
    s->nsubscriptions++;
    r->nsubscriptions++;
    router_count(r, ROUTER_SUBSCRIPTIONS, 1);
    *out = sub;
    return 0;

fail:
    free(sub);
    if (f != NULL) {
        router_filter_settle(r, f);
    }
    return -ENOMEM;
}

static void
remove_subscription(struct sp_router *r, struct sp_subscription *sub)
{
    struct sp_filter *f = sub->filter;

    unlink_subscription(sub);
    sub->subscriber->nsubscriptions--;
    r->nsubscriptions--;
    router_count(r, ROUTER_SUBSCRIPTIONS, -1);
    interest_release(r, sub);
    routes_stale(r, filter_text(f));
    if (f->subscriptions == NULL) {
        interest_withdraw(r, f);
        router_filter_settle(r, f);
    }
    free(sub);
}

int
sp_router_subscribe(struct sp_router *r, struct sp_subscriber *s, struct sp_str filter,
                    const struct sp_subscribe_options *o, bool              *is_new,
                    void (*heard)(struct sp_subscriber *s, void *arg), void *arg)
{
    struct sp_subscription     *sub = find(r, s, filter);
    struct sp_subscribe_options before;
    int                         rc = 0;

    *is_new = sub == NULL;
    if (sub == NULL) {
        rc = add(r, s, filter, &sub);
        if (rc < 0) {
            return rc;
        }
    }
    before = sub->options;
    sub->options = *o;
    routes_stale(r, sub->text);
    if (heard != NULL) {
        rc = interest_await(r, sub, heard, arg);
    }
    if (rc < 0) {
        sub->options = before;
        if (*is_new) {
            remove_subscription(r, sub);
        }
    }
    return rc;
}

bool
sp_router_unsubscribe(struct sp_router *r, struct sp_subscriber *s, struct sp_str filter)
{
    struct sp_subscription *sub = find(r, s, filter);

    if (sub == NULL) {
        return false;
    }
    remove_subscription(r, sub);
    interest_call_later(r);
    return true;
}

void
sp_router_forget(struct sp_router *r, struct sp_subscriber *s)
{
    while (s->subscriptions != NULL) {
        remove_subscription(r, s->subscriptions);
    }
    interest_forget(r, s);
    flow_forget(r, s);
}

void
sp_router_commit(struct sp_router *r)
{
    r->serial++;
    routes_clear(r);
}

unsigned
sp_router_subscriptions(const struct sp_router *r)
{
    return r->nsubscriptions;
}

/* -- life -- */

int
sp_router_start(struct sp_process *p, struct sp_router **out)
{
    struct sp_router *r = calloc(1, sizeof(*r));
    int               rc;

    if (r == NULL) {
        return -ENOMEM;
    }
    rc = sp_trie_create(&r->filters);
    if (rc < 0) {
        free(r);
        return rc;
    }
    r->process = p;
    r->serial = 1;
    r->next_token = (uint64_t)p->epoch << 40; /* answers to a predecessor fit none of ours */
    if (p->metrics != NULL && p->router_metrics >= 0) {
        r->counters = sp_metrics_mine(p->metrics) + p->router_metrics;
    }
    interest_handlers(r);
    flow_handlers(r);
    publish_handlers(r);
    r->held = true;
    sp_process_hold(p);
    *out = r;
    return 0;
}

static bool
free_filter(void *value, void *arg)
{
    struct sp_filter *f = value;

    while (f->subscriptions != NULL) {
        struct sp_subscription *sub = f->subscriptions;

        f->subscriptions = sub->next_same;
        interest_release(arg, sub);
        free(sub);
    }
    free(f);
    return true;
}

void
sp_router_stop(struct sp_router *r)
{
    if (r == NULL) {
        return;
    }
    routes_clear(r);
    sp_trie_walk(r->filters, free_filter, r);
    sp_trie_destroy(r->filters);
    interest_stop(r);
    flow_stop(r);
    free(r);
}
