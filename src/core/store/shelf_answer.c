#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/shelf_internal.h"

/*
 * Answers are given in turns, worker by worker and question by question, so that one `#` over a large shelf holds up
 * nobody's small question. What is sent stops where the reader is behind: at most one message per worker waits in the bus. Only a few
 * questions of a worker are looked up at a time, for what they found is a list in memory.
 */
#define MATCHES_PER_TURN   256u
#define MATCHES_PER_ANSWER 64u
#define ACTIVE_MAX         4u
#define BEHIND_MS          2

struct answer {
    struct answer *next;
    uint64_t       token;
    struct item  **items;
    size_t         count, sent, filter_bytes;
    char           filter[];
};

struct collecting {
    struct item **items;
    size_t        count, capacity;
    uint64_t      now_ms;
    bool          failed;
};

static bool
collect(void *value, void *arg)
{
    struct collecting *c = arg;
    struct item       *it = ((struct place *)value)->item;

    if (it == NULL || (it->expires_wall_ms != 0 && it->expires_wall_ms <= c->now_ms)) {
        return true;
    }
    if (c->count == c->capacity) {
        size_t        more = c->capacity < 16 ? 16 : c->capacity * 2;
        struct item **grown = reallocarray(c->items, more, sizeof(*grown));

        if (grown == NULL) {
            c->failed = true;
            return false;
        }
        c->items = grown;
        c->capacity = more;
    }
    it->refs++;
    c->items[c->count++] = it;
    return true;
}

static void
look_up(struct sp_shelf *s, struct answer *a)
{
    struct collecting c = {.now_ms = sp_clock_wall_ms()};

    sp_trie_search(s->places, (struct sp_str){a->filter, a->filter_bytes}, collect, &c);
    if (c.failed) {
        sp_log(SP_LOG_CRIT, "out of memory: a question for retained messages is answered in part");
    }
    a->items = c.items;
    a->count = c.count;
}

static void
free_answer(struct answer *a)
{
    for (; a->sent < a->count; a->sent++) {
        item_unref(a->items[a->sent]);
    }
    free(a->items);
    free(a);
}

static int
send_item(struct sp_shelf *s, unsigned slot, uint64_t token, const struct item *it)
{
    const char           *at = it->bytes;
    struct retained_parts parts;
    struct retained_head  head = {.token = token, .expiry_s = UINT32_MAX, .qos = it->qos, .utf8 = it->utf8};
    uint64_t              now = sp_clock_wall_ms();

    if (it->expires_wall_ms != 0) {
        if (it->expires_wall_ms <= now) {
            return 0;
        }
        head.expiry_s = (uint32_t)((it->expires_wall_ms - now + 999) / 1000);
    }
    parts.topic = (struct sp_str){at, it->topic_bytes};
    at += it->topic_bytes;
    parts.properties = (struct sp_str){at, it->properties_bytes};
    at += it->properties_bytes;
    parts.payload = (struct sp_str){at, it->payload_bytes};
    at += it->payload_bytes;
    parts.identity = (struct sp_str){at, it->identity_bytes};
    return retained_wire_send(s->process->bus, slot, SP_BUS_RETAIN_MATCH, &head, &parts);
}

static int
send_done(struct sp_shelf *s, unsigned slot, uint64_t token)
{
    struct retained_answer done = {.token = token};
    struct iovec           iov = {&done, sizeof(done)};

    return sp_bus_send(s->process->bus, slot, SP_BUS_RETAIN_DONE, 0, &iov, 1);
}

/* -- turns -- */

static void
push(struct answer ***end, struct answer *a)
{
    a->next = NULL;
    **end = a;
    *end = &a->next;
}

static struct answer *
pop(struct answer **first, struct answer ***end)
{
    struct answer *a = *first;

    *first = a->next;
    if (*first == NULL) {
        *end = first;
    }
    return a;
}

/* Sends some of it. True when it is finished. */
static bool
go_on(struct sp_shelf *s, unsigned slot, struct answer *a, unsigned *budget)
{
    struct asker  *k = &s->askers[slot];
    struct sp_bus *bus = s->process->bus;
    unsigned       limit = *budget < MATCHES_PER_ANSWER ? *budget : MATCHES_PER_ANSWER;

    --*budget; /* even an answer without a match costs something */
    for (; a->sent < a->count && limit > 0 && !sp_bus_congested(bus, slot); limit--) {
        if (send_item(s, slot, a->token, a->items[a->sent]) == -ENOMEM) {
            k->stuck = true;
            return false;
        }
        item_unref(a->items[a->sent++]);
        *budget -= *budget > 0;
    }
    if (a->sent == a->count) {
        k->stuck = send_done(s, slot, a->token) == -ENOMEM;
        return !k->stuck;
    }
    return false;
}

/* One answer of one worker. */
static void
serve(struct sp_shelf *s, unsigned slot, unsigned *budget)
{
    struct asker  *k = &s->askers[slot];
    struct answer *a;

    while (k->nactive < ACTIVE_MAX && k->waiting != NULL) {
        a = pop(&k->waiting, &k->waiting_end);
        look_up(s, a);
        push(&k->active_end, a);
        k->nactive++;
    }
    a = pop(&k->active, &k->active_end);
    if (go_on(s, slot, a, budget)) {
        free_answer(a);
        k->nactive--;
    } else {
        push(&k->active_end, a);
    }
}

static bool
asks(const struct asker *k)
{
    return !k->stuck && (k->active != NULL || k->waiting != NULL);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct sp_shelf *s = arg;
    unsigned         budget = MATCHES_PER_TURN, idle = 0, slots = s->process->workers;
    bool             any = false;

    (void)fd;
    (void)what;
    while (budget > 0 && idle < slots) {
        unsigned slot = s->next_asker++ % slots;

        idle++;
        if (asks(&s->askers[slot]) && !sp_bus_congested(s->process->bus, slot)) {
            serve(s, slot, &budget);
            idle = 0;
        }
    }
    for (unsigned slot = 0; slot < slots && !any; slot++) {
        any = asks(&s->askers[slot]);
    }
    if (any) { /* whoever is still there is behind, unless the turn is over */
        event_add(s->turn, &(struct timeval){0, budget > 0 ? BEHIND_MS * 1000 : 0});
    }
}

void
shelf_answers_room(struct sp_shelf *s)
{
    for (unsigned i = 0; i < s->process->workers; i++) {
        s->askers[i].stuck = false;
    }
    on_turn(-1, 0, s);
}

static void
on_query(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct sp_shelf *s = p->shelf;
    struct answer   *a;
    uint64_t         token;

    if (from >= p->workers || bytes <= sizeof(token) || bytes - sizeof(token) > UINT16_MAX) {
        sp_log(SP_LOG_ALERT, "bus: malformed question for retained messages from slot %u ignored", from);
        return;
    }
    memcpy(&token, body, sizeof(token));
    a = calloc(1, sizeof(*a) + bytes - sizeof(token));
    if (a == NULL) {
        sp_log(SP_LOG_CRIT, "out of memory: a question for retained messages is not answered");
        (void)send_done(s, from, token);
        return;
    }
    a->token = token;
    a->filter_bytes = bytes - sizeof(token);
    memcpy(a->filter, (const char *)body + sizeof(token), a->filter_bytes);
    push(&s->askers[from].waiting_end, a);
    if (!event_pending(s->turn, EV_TIMEOUT, NULL)) {
        event_add(s->turn, &(struct timeval){0, 0});
    }
}

void
shelf_answers_forget(struct sp_shelf *s, unsigned slot)
{
    struct asker *k = &s->askers[slot];

    while (k->active != NULL) {
        free_answer(pop(&k->active, &k->active_end));
    }
    while (k->waiting != NULL) {
        free_answer(pop(&k->waiting, &k->waiting_end));
    }
    k->nactive = 0;
    k->stuck = false;
}

int
shelf_answers_start(struct sp_shelf *s)
{
    for (unsigned i = 0; i < SP_BUS_SLOTS_MAX; i++) {
        s->askers[i].active_end = &s->askers[i].active;
        s->askers[i].waiting_end = &s->askers[i].waiting;
    }
    s->turn = event_new(s->process->base, -1, 0, on_turn, s);
    if (s->turn == NULL) {
        return -ENOMEM;
    }
    sp_bus_handle(s->process->bus, SP_BUS_RETAIN_QUERY, on_query);
    return 0;
}

void
shelf_answers_stop(struct sp_shelf *s)
{
    for (unsigned i = 0; i < SP_BUS_SLOTS_MAX; i++) {
        shelf_answers_forget(s, i);
    }
    if (s->turn != NULL) {
        event_free(s->turn);
    }
}
