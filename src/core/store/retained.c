#include "store/retained.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "process/process.h"
#include "store/retained_wire.h"

#define UNANSWERED_BYTES_MAX ((size_t)64 << 20) /* while there is no keeper, or a slow one */
#define QUERY_BYTES_MAX      ((size_t)64 << 20)
#define BUCKETS              1024u

struct pending_set {
    struct pending_set *next, **prev; /* in its bucket, by arg */
    uint64_t            token;
    struct sp_message  *message;
    struct sp_str       identity;
    bool                durable;
    void (*stored)(void *arg, int err);
    void *arg;
    char  identity_text[];
};

struct sp_retained_query {
    uint64_t token;
    void (*match)(void *arg, const struct sp_message *m);
    void (*done)(void *arg);
    void         *arg;
    struct sp_str filter;
    char          text[];
};

struct sp_retained {
    struct sp_process  *process;
    struct sp_map       sets, queries; /* by token */
    struct pending_set *by_arg[BUCKETS];
    uint64_t            next_token;
    size_t              unanswered_bytes, query_bytes;
    bool                untold; /* memory ran out while the keeper was told */
};

static struct sp_str
token_key(const uint64_t *token)
{
    return (struct sp_str){(const char *)token, sizeof(*token)};
}

static struct pending_set **
bucket(struct sp_retained *r, const void *arg)
{
    return &r->by_arg[sp_hash((struct sp_str){(const char *)&arg, sizeof(arg)}) % BUCKETS];
}

static unsigned
keeper(const struct sp_retained *r)
{
    return r->process->workers;
}

/* -- setting -- */

static int
send_set(struct sp_retained *r, const struct pending_set *s)
{
    struct retained_head head = {
        .token = s->token,
        .publisher = s->message->publisher,
        .qos = s->message->qos,
        .utf8 = s->message->payload_is_utf8,
        .durable = s->durable,
    };
    struct retained_parts parts = {s->message->topic, s->message->properties, s->message->payload, s->identity};

    if (!sp_message_expiry(s->message, sp_clock_ms(), &head.expiry_s)) {
        parts.payload.n = 0; /* over: what it replaced is gone all the same */
        head.expiry_s = UINT32_MAX;
    }
    return retained_wire_send(r->process->bus, keeper(r), SP_BUS_RETAIN_SET, &head, &parts);
}

static size_t
set_bytes(const struct pending_set *s)
{
    return sizeof(*s) + s->identity.n + s->message->owner->n;
}

static void
link_set(struct sp_retained *r, struct pending_set *s)
{
    struct pending_set **at = bucket(r, s->arg);

    s->next = *at;
    s->prev = at;
    if (s->next != NULL) {
        s->next->prev = &s->next;
    }
    *at = s;
    r->unanswered_bytes += set_bytes(s);
}

static void
free_set(struct sp_retained *r, struct pending_set *s)
{
    r->unanswered_bytes -= set_bytes(s);
    *s->prev = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    sp_message_drop(s->message);
    free(s);
}

/* A reference of our own; a borrowed message is left as it was, so the caller has nothing to give back. */
static struct sp_message *
keep_one(const struct sp_message *m)
{
    struct sp_message borrowed = *m, *kept;

    if (m->refs > 0 || m->kept != NULL) {
        return sp_message_keep((struct sp_message *)(uintptr_t)m);
    }
    kept = sp_message_keep(&borrowed);
    sp_message_drop(borrowed.kept);
    return kept;
}

int
sp_retained_set(struct sp_retained *r, const struct sp_message *m, struct sp_str identity, bool durable,
                void (*stored)(void *arg, int err), void *arg)
{
    struct pending_set *s;
    int                 rc;

    if (r->unanswered_bytes > UNANSWERED_BYTES_MAX) {
        return -EAGAIN;
    }
    s = calloc(1, sizeof(*s) + identity.n);
    if (s == NULL) {
        return -ENOMEM;
    }
    s->message = keep_one(m);
    s->token = ++r->next_token;
    if (s->message == NULL || sp_map_put(&r->sets, token_key(&s->token), s, NULL) < 0) {
        sp_message_drop(s->message);
        free(s);
        return -ENOMEM;
    }
    if (identity.n > 0) {
        memcpy(s->identity_text, identity.p, identity.n);
    }
    s->identity = (struct sp_str){s->identity_text, identity.n};
    s->durable = durable;
    s->stored = stored;
    s->arg = arg;
    link_set(r, s);
    rc = send_set(r, s);
    if (rc < 0 && rc != -EHOSTDOWN) { /* with no keeper now it is repeated to the next one */
        sp_map_remove(&r->sets, token_key(&s->token));
        free_set(r, s);
        return rc;
    }
    return 0;
}

void
sp_retained_forget(struct sp_retained *r, void *arg)
{
    for (struct pending_set *s = *bucket(r, arg); s != NULL; s = s->next) {
        if (s->arg == arg) {
            s->stored = NULL;
        }
    }
}

static void
on_stored(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct retained_answer a;
    struct pending_set    *s;

    if (p->retained == NULL || from != keeper(p->retained) || !retained_answer_read(from, body, bytes, &a)) {
        return;
    }
    s = sp_map_remove(&p->retained->sets, token_key(&a.token));
    if (s == NULL) {
        return;
    }
    if (s->stored != NULL) {
        s->stored(s->arg, a.err > 0 ? -EIO : a.err);
    }
    free_set(p->retained, s);
}

/* -- asking -- */

static int
send_query(struct sp_retained *r, const struct sp_retained_query *q)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)&q->token, sizeof(q->token)},
                           {(void *)(uintptr_t)q->filter.p, q->filter.n}};

    return sp_bus_send(r->process->bus, keeper(r), SP_BUS_RETAIN_QUERY, 0, iov, 2);
}

static void
free_query(struct sp_retained *r, struct sp_retained_query *q)
{
    r->query_bytes -= sizeof(*q) + q->filter.n;
    free(q);
}

struct sp_retained_query *
sp_retained_ask(struct sp_retained *r, struct sp_str filter, void (*match)(void *arg, const struct sp_message *m),
                void (*done)(void *arg), void       *arg)
{
    struct sp_retained_query *q = r->query_bytes > QUERY_BYTES_MAX ? NULL : calloc(1, sizeof(*q) + filter.n);

    if (q == NULL) {
        return NULL;
    }
    q->token = ++r->next_token;
    q->match = match;
    q->done = done;
    q->arg = arg;
    memcpy(q->text, filter.p, filter.n);
    q->filter = (struct sp_str){q->text, filter.n};
    if (sp_map_put(&r->queries, token_key(&q->token), q, NULL) < 0) {
        free(q);
        return NULL;
    }
    r->query_bytes += sizeof(*q) + filter.n;
    if (send_query(r, q) == -ENOMEM) { /* with no keeper now it is repeated to the next one */
        sp_retained_cancel(r, q);
        return NULL;
    }
    return q;
}

void
sp_retained_cancel(struct sp_retained *r, struct sp_retained_query *q)
{
    if (q != NULL) {
        sp_map_remove(&r->queries, token_key(&q->token));
        free_query(r, q);
    }
}

static void
on_match(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct retained_head      head;
    struct retained_parts     parts;
    struct sp_retained_query *q;
    struct sp_message         m = {0};

    if (p->retained == NULL || from != keeper(p->retained) || !retained_wire_read(from, body, bytes, &head, &parts)) {
        return;
    }
    q = sp_map_get(&p->retained->queries, token_key(&head.token));
    if (q == NULL) {
        return; /* cancelled */
    }
    m.topic = parts.topic;
    m.properties = parts.properties;
    m.payload = parts.payload;
    m.received_ms = sp_clock_ms();
    m.expiry_s = head.expiry_s;
    m.qos = head.qos;
    m.retain = true;
    m.payload_is_utf8 = head.utf8 != 0;
    q->match(q->arg, &m);
    sp_message_drop(m.kept);
}

static void
on_done(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct retained_answer    a;
    struct sp_retained_query *q;

    if (p->retained == NULL || from != keeper(p->retained) || !retained_answer_read(from, body, bytes, &a)) {
        return;
    }
    q = sp_map_remove(&p->retained->queries, token_key(&a.token));
    if (q != NULL) {
        void (*done)(void *arg) = q->done;
        void *arg = q->arg;

        free_query(p->retained, q);
        done(arg);
    }
}

/* -- life -- */

static int
by_token(const void *x, const void *y)
{
    const struct pending_set *const *a = x, *const *b = y;

    return (*a)->token < (*b)->token ? -1 : (*a)->token > (*b)->token;
}

static int
tell_all(struct sp_retained *r)
{
    struct pending_set **in_order = calloc(r->sets.count + 1, sizeof(struct pending_set *));
    struct sp_map_entry *e;
    size_t               pos = 0, n = 0;
    int                  rc = 0;

    if (in_order == NULL) {
        return -ENOMEM;
    }
    while ((e = sp_map_next(&r->sets, &pos)) != NULL) {
        in_order[n++] = e->value;
    }
    qsort(in_order, n, sizeof(*in_order), by_token); /* the last one on a topic shall win again */
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = send_set(r, in_order[i]);
    }
    free(in_order);
    for (pos = 0; rc == 0 && (e = sp_map_next(&r->queries, &pos)) != NULL;) {
        rc = send_query(r, e->value);
    }
    return rc;
}

void
sp_retained_keeper_up(struct sp_retained *r)
{
    r->untold = tell_all(r) == -ENOMEM;
    if (r->untold) {
        sp_bus_retry(r->process->bus);
    }
}

static void
on_room(struct sp_process *p)
{
    if (p->retained != NULL && p->retained->untold) {
        sp_retained_keeper_up(p->retained);
    }
}

int
sp_retained_start(struct sp_process *p, struct sp_retained **out)
{
    struct sp_retained *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return -ENOMEM;
    }
    r->process = p;
    r->next_token = (uint64_t)p->epoch << 40; /* answers to a predecessor fit none of ours */
    sp_bus_handle(p->bus, SP_BUS_RETAIN_STORED, on_stored);
    sp_bus_handle(p->bus, SP_BUS_RETAIN_MATCH, on_match);
    sp_bus_handle(p->bus, SP_BUS_RETAIN_DONE, on_done);
    (void)sp_bus_on_room(p->bus, on_room);
    *out = r;
    return 0;
}

void
sp_retained_stop(struct sp_retained *r)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    if (r == NULL) {
        return;
    }
    while ((e = sp_map_next(&r->sets, &pos)) != NULL) {
        free_set(r, e->value);
    }
    for (pos = 0; (e = sp_map_next(&r->queries, &pos)) != NULL;) {
        free(e->value);
    }
    sp_map_clear(&r->sets);
    sp_map_clear(&r->queries);
    free(r);
}
