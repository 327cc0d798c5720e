#include "traffic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"

#define CHUNK_BYTES   (16u * 1024u)
#define CHUNKS_A_TURN 4

struct stamp {
    uint32_t run, publisher;
    uint64_t seq, sent_ns;
};

_Static_assert(sizeof(struct stamp) == SP_PAYLOAD_MIN, "the payload's head");

static struct sp_stream *
stream_of(const struct sp_traffic *t, unsigned subscriber, unsigned publisher)
{
    return t->o->layout == SP_PAIRS ? &t->streams[subscriber]
                                    : &t->streams[(size_t)subscriber * t->o->publishers + publisher];
}

static void
topic_of(const struct sp_traffic *t, unsigned publisher, char *out, size_t size)
{
    if (t->o->layout == SP_FANOUT) {
        snprintf(out, size, "%s/all", t->o->topic_prefix);
    } else {
        snprintf(out, size, "%s/%u", t->o->topic_prefix, publisher);
    }
}

static void
client_plan(void *ctx, unsigned index, struct sp_fleet_plan *plan)
{
    const struct sp_traffic *t = ctx;
    unsigned                 subscribers = t->o->subscribers;

    snprintf(plan->client_id, sizeof plan->client_id, "%.64s-%x-%c%u", t->o->client_prefix, t->run,
             index < subscribers ? 's' : 'p', index < subscribers ? index : index - subscribers);
    if (index >= subscribers) {
        return;
    }
    plan->qos = t->o->qos;
    if (t->o->layout == SP_FANIN) {
        snprintf(plan->filter, sizeof plan->filter, "%s/+", t->o->topic_prefix);
    } else {
        topic_of(t, index, plan->filter, sizeof plan->filter);
    }
}

static void
publisher_queue(struct sp_traffic *t, struct sp_publisher *p)
{
    if (!p->queued) {
        p->queued = true;
        t->next[t->nnext++] = (unsigned)(p - t->publishers);
    }
}

static void
delivery_time(struct sp_traffic *t, uint64_t sent_ns)
{
    uint64_t now_ns = sp_clock_now_ns();

    if (sent_ns < t->measure_from_ns) {
        return;
    }
    sp_hist_add(t->hist, now_ns - sent_ns);
    if (t->last_delivery_ns != 0 && now_ns - t->last_delivery_ns > t->max_gap_ns) {
        t->max_gap_ns = now_ns - t->last_delivery_ns;
    }
    t->last_delivery_ns = now_ns;
}

static void
puback_send(struct sp_traffic *t, struct sp_client *c, uint16_t id)
{
    uint8_t *p = sp_client_room(c, 4);

    (void)t;
    if (p != NULL) {
        p[0] = SP_PUBACK << 4;
        p[1] = 2;
        sp_wire_put16(p + 2, id);
        sp_client_wrote(c, 4);
    }
}

static void
on_publish(void *ctx, struct sp_client *c, const struct sp_publish *message)
{
    struct sp_traffic *t = ctx;
    size_t             filling = t->o->payload_bytes - sizeof(struct stamp);
    struct stamp       stamp;

    t->counts.deliveries++;
    t->progress_ns = t->fleet.now_ns;
    if (message->qos > 0) {
        puback_send(t, c, message->id);
    }
    if (message->payload_len != t->o->payload_bytes ||
        memcmp(message->payload + sizeof stamp, t->filling, filling) != 0) {
        t->counts.damaged++;
        return;
    }
    memcpy(&stamp, message->payload, sizeof stamp);
    if (stamp.run != t->run || stamp.publisher >= t->o->publishers) {
        t->counts.damaged++;
        return;
    }
    if (c->index >= t->o->subscribers || (t->o->layout == SP_PAIRS && stamp.publisher != c->index)) {
        t->counts.misrouted++;
        return;
    }
    switch (sp_stream_arrive(stream_of(t, c->index, stamp.publisher), stamp.seq)) {
    case SP_IN_ORDER:
        break;
    case SP_AFTER_GAP:
        t->counts.gaps++;
        break;
    case SP_LATE:
        t->counts.reordered++;
        break;
    case SP_REPEATED:
        t->counts.dups++;
        break;
    }
    if (t->hist != NULL) {
        delivery_time(t, stamp.sent_ns);
    }
    publisher_queue(t, &t->publishers[stamp.publisher]);
}

static void
on_acked(void *ctx, struct sp_client *c, uint16_t id, uint8_t reason)
{
    struct sp_traffic   *t = ctx;
    struct sp_publisher *p;

    if (c->index < t->o->subscribers || t->o->qos == 0) {
        t->counts.bad_acks++;
        return;
    }
    p = &t->publishers[c->index - t->o->subscribers];
    if ((p->in_use[id >> 3] & 1u << (id & 7)) == 0) {
        t->counts.bad_acks++;
        return;
    }
    p->in_use[id >> 3] = (uint8_t)(p->in_use[id >> 3] & ~(1u << (id & 7)));
    p->unacked--;
    t->counts.acked++;
    t->counts.refused += reason >= 0x80;
    t->progress_ns = t->fleet.now_ns;
    publisher_queue(t, p);
}

static void
on_writable(void *ctx, struct sp_client *c)
{
    struct sp_traffic *t = ctx;

    if (c->index >= t->o->subscribers) {
        publisher_queue(t, &t->publishers[c->index - t->o->subscribers]);
    }
}

static const struct sp_fleet_calls calls = {
    .plan = client_plan, .publish = on_publish, .acked = on_acked, .writable = on_writable};

static int
publisher_init(struct sp_traffic *t, unsigned index)
{
    struct sp_publisher *p = &t->publishers[index];
    char                 topic[192];
    size_t               len;

    topic_of(t, index, topic, sizeof topic);
    len = sp_wire_publish_len(t->o->v5, topic, t->o->qos, t->o->payload_bytes);
    p->packet = malloc(len);
    p->in_use = calloc(1, 8192);
    if (p->packet == NULL || p->in_use == NULL) {
        return -ENOMEM;
    }
    sp_wire_publish_write(p->packet, len, t->o->v5, topic, t->o->qos, t->o->payload_bytes, &p->plan);
    memcpy(p->packet + p->plan.payload_at + sizeof(struct stamp), t->filling,
           t->o->payload_bytes - sizeof(struct stamp));
    p->limit = t->o->count != 0 ? t->o->count : UINT64_MAX;
    p->client = &t->fleet.clients[t->o->subscribers + index];
    p->next_id = 1;
    return 0;
}

static int
tables_alloc(struct sp_traffic *t)
{
    const struct sp_options *o = t->o;
    size_t                   streams = o->layout == SP_PAIRS ? o->subscribers : (size_t)o->subscribers * o->publishers;

    t->publishers = calloc(o->publishers, sizeof *t->publishers);
    t->streams = calloc(streams, sizeof *t->streams);
    t->ready = calloc(o->publishers, sizeof *t->ready);
    t->next = calloc(o->publishers, sizeof *t->next);
    t->filling = malloc(o->payload_bytes);
    if (t->publishers == NULL || t->streams == NULL || t->ready == NULL || t->next == NULL || t->filling == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < o->payload_bytes; i++) {
        t->filling[i] = (uint8_t)(i * 31 + 7);
    }
    for (unsigned i = 0; i < o->publishers; i++) {
        if (publisher_init(t, i) != 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

int
sp_traffic_start(struct sp_traffic *t, const struct sp_options *o, const volatile sig_atomic_t *stop)
{
    int rc;

    memset(t, 0, sizeof *t);
    t->o = o;
    t->run = (uint32_t)getpid() << 8 ^ (uint32_t)sp_clock_now_ns();
    if (strlen(o->topic_prefix) > 128) {
        fputs("spload: the topic prefix is longer than 128 bytes\n", stderr);
        return -EINVAL;
    }
    rc = sp_fleet_init(&t->fleet, o, o->publishers + o->subscribers, &calls, t, stop);
    if (rc != 0) {
        return rc;
    }
    if (tables_alloc(t) != 0) {
        fputs("spload: out of memory\n", stderr);
        return -ENOMEM;
    }
    rc = sp_fleet_gather(&t->fleet);
    if (rc != 0) {
        fprintf(stderr, "spload: not connected: %s\n", rc == -EINTR ? "interrupted" : t->fleet.error);
        return rc;
    }
    for (unsigned i = 0; i < o->publishers; i++) {
        struct sp_publisher *p = &t->publishers[i];

        p->window = o->window < p->client->receive_max ? o->window : p->client->receive_max;
    }
    t->progress_ns = t->fleet.now_ns;
    return 0;
}

/* Messages of p that its slowest receiver has passed. */
static uint64_t
passed(const struct sp_traffic *t, const struct sp_publisher *p)
{
    unsigned index = (unsigned)(p - t->publishers);
    uint64_t least;

    if (t->o->layout == SP_PAIRS) {
        least = t->streams[index].next;
    } else {
        least = UINT64_MAX;
        for (unsigned s = 0; s < t->o->subscribers; s++) {
            uint64_t next = stream_of(t, s, index)->next;

            least = next < least ? next : least;
        }
    }
    return least > p->written_off ? least : p->written_off;
}

uint64_t
sp_traffic_allowance(struct sp_traffic *t, const struct sp_publisher *p)
{
    uint64_t ahead = p->sent - passed(t, p);
    uint64_t room = ahead < t->o->credit ? t->o->credit - ahead : 0;
    uint64_t left = p->limit > p->sent ? p->limit - p->sent : 0;

    if (t->o->qos > 0) {
        uint64_t window = p->unacked < p->window ? p->window - p->unacked : 0;

        room = window < room ? window : room;
    }
    return left < room ? left : room;
}

static uint16_t
id_take(struct sp_publisher *p)
{
    uint16_t id = p->next_id;

    while ((p->in_use[id >> 3] & 1u << (id & 7)) != 0) {
        id = id == UINT16_MAX ? 1 : (uint16_t)(id + 1);
    }
    p->in_use[id >> 3] = (uint8_t)(p->in_use[id >> 3] | 1u << (id & 7));
    p->next_id = id == UINT16_MAX ? 1 : (uint16_t)(id + 1);
    p->unacked++;
    return id;
}

static int
message_write(struct sp_traffic *t, struct sp_publisher *p, uint64_t seq, bool flip)
{
    uint8_t     *out = sp_client_room(p->client, p->plan.len);
    struct stamp stamp = {.run = t->run, .publisher = (uint32_t)(p - t->publishers), .seq = seq};

    if (out == NULL) {
        return -ENOMEM;
    }
    if (t->hist != NULL) {
        stamp.sent_ns = sp_clock_now_ns();
    }
    memcpy(out, p->packet, p->plan.len);
    memcpy(out + p->plan.payload_at, &stamp, sizeof stamp);
    if (t->o->qos > 0) {
        sp_wire_put16(out + p->plan.id_at, id_take(p));
    }
    if (flip) {
        out[p->plan.len - 1] ^= 1;
    }
    sp_client_wrote(p->client, p->plan.len);
    return 0;
}

/* One message that goes wrong on purpose. */
static int
message_fault(struct sp_traffic *t, struct sp_publisher *p)
{
    uint64_t seq = p->sent;
    int      rc = 0;

    switch (t->o->fault) {
    case SP_FAULT_LOSS:
        p->sent++;
        return 0;
    case SP_FAULT_FLIP:
        p->sent++;
        return message_write(t, p, seq, true);
    case SP_FAULT_DUP:
        p->sent++;
        rc = message_write(t, p, seq, false);
        return rc != 0 ? rc : message_write(t, p, seq, false);
    case SP_FAULT_SWAP:
        p->sent += 2;
        rc = message_write(t, p, seq + 1, false);
        return rc != 0 ? rc : message_write(t, p, seq, false);
    case SP_FAULT_NONE:
        break;
    }
    return rc;
}

int
sp_traffic_send(struct sp_traffic *t, struct sp_publisher *p)
{
    uint64_t before = p->sent;
    int      rc;

    if (t->o->fault != SP_FAULT_NONE && before % t->o->fault_every == t->o->fault_every / 2 && p->limit - before > 1) {
        rc = message_fault(t, p);
    } else {
        p->sent++;
        rc = message_write(t, p, before, false);
    }
    t->counts.sent += p->sent - before;
    return rc;
}

/* Fill the output and write it, a chunk at a time. True when the publisher could go on but gives way. */
static bool
publisher_pump(struct sp_traffic *t, struct sp_publisher *p)
{
    uint64_t room = sp_traffic_allowance(t, p);
    uint64_t size = t->o->qos > 0 && p->window < t->o->credit ? p->window : t->o->credit;
    uint64_t least = size * t->o->refill_pct / 100;

    if (room == 0 || (p->waiting && room < least && p->sent + room < p->limit)) {
        p->waiting = true;
        return false;
    }
    p->waiting = false;
    for (int chunk = 0; chunk < CHUNKS_A_TURN; chunk++) {
        unsigned n = 0;

        while (p->sent < p->limit && room > 0 &&
               sp_client_pending(p->client) + p->plan.len <= CHUNK_BYTES + p->plan.len &&
               (t->o->batch == 0 || n < t->o->batch)) {
            uint64_t before = p->sent;

            if (sp_traffic_send(t, p) != 0) {
                return false;
            }
            room -= p->sent - before < room ? p->sent - before : room;
            n++;
        }
        sp_fleet_flush(&t->fleet, p->client);
        if (p->client->state != SP_CLIENT_READY || sp_client_pending(p->client) > 0) {
            return false; /* on_writable goes on */
        }
        if (room == 0) {
            p->waiting = true;
            return false;
        }
    }
    return true;
}

bool
sp_traffic_pump(struct sp_traffic *t)
{
    unsigned *swap = t->ready;
    bool      more = false;

    t->ready = t->next;
    t->nready = t->nnext;
    t->next = swap;
    t->nnext = 0;
    for (unsigned i = 0; i < t->nready; i++) {
        struct sp_publisher *p = &t->publishers[t->ready[i]];

        p->queued = false;
        if (p->client->state == SP_CLIENT_READY && (p->client->armed & EPOLLOUT) == 0 && publisher_pump(t, p)) {
            publisher_queue(t, p);
            more = true;
        }
    }
    return more;
}

void
sp_traffic_wake(struct sp_traffic *t)
{
    for (unsigned i = 0; i < t->o->publishers; i++) {
        publisher_queue(t, &t->publishers[i]);
    }
}

bool
sp_traffic_complete(const struct sp_traffic *t)
{
    for (unsigned i = 0; i < t->o->publishers; i++) {
        const struct sp_publisher *p = &t->publishers[i];

        if (p->unacked > 0 || passed(t, p) < p->sent) {
            return false;
        }
    }
    return true;
}

uint64_t
sp_traffic_lost(const struct sp_traffic *t)
{
    uint64_t lost = 0;

    for (unsigned s = 0; s < t->o->subscribers; s++) {
        if (t->o->layout == SP_PAIRS) {
            lost += sp_stream_lost(&t->streams[s], t->publishers[s].sent);
            continue;
        }
        for (unsigned p = 0; p < t->o->publishers; p++) {
            lost += sp_stream_lost(stream_of(t, s, p), t->publishers[p].sent);
        }
    }
    return lost;
}

void
sp_traffic_write_off(struct sp_traffic *t)
{
    for (unsigned i = 0; i < t->o->publishers; i++) {
        t->publishers[i].written_off = t->publishers[i].sent;
        t->publishers[i].waiting = false;
    }
    t->stalls++;
    sp_traffic_wake(t);
}

bool
sp_traffic_report(const struct sp_traffic *t, struct sp_report *r)
{
    const struct sp_counts *c = &t->counts;
    uint64_t                lost = sp_traffic_lost(t);
    bool clean = lost + c->dups + c->reordered + c->damaged + c->misrouted + c->bad_acks + c->refused == 0 &&
                 t->fleet.lost + t->fleet.failed + t->stalls == 0;

    sp_report_str(r, "scenario", sp_options_scenario(t->o));
    sp_report_str(r, "label", t->o->label != NULL ? t->o->label : "");
    sp_report_str(r, "layout", sp_options_layout(t->o));
    sp_report_int(r, "publishers", t->o->publishers);
    sp_report_int(r, "subscribers", t->o->subscribers);
    sp_report_int(r, "qos", t->o->qos);
    sp_report_bool(r, "tls", t->o->tls);
    sp_report_int(r, "size", t->o->payload_bytes);
    sp_report_int(r, "sent", c->sent);
    sp_report_int(r, "acked", c->acked);
    sp_report_int(r, "delivered", c->deliveries);
    sp_report_int(r, "lost", lost);
    sp_report_int(r, "duplicates", c->dups);
    sp_report_int(r, "reordered", c->reordered);
    sp_report_int(r, "gaps", c->gaps);
    sp_report_int(r, "damaged", c->damaged);
    sp_report_int(r, "misrouted", c->misrouted);
    sp_report_int(r, "bad_acks", c->bad_acks);
    sp_report_int(r, "refused", c->refused);
    sp_report_int(r, "stalls", t->stalls);
    sp_report_int(r, "connections_lost", t->fleet.lost);
    sp_report_str(r, "error", t->fleet.error);
    sp_report_bool(r, "clean", clean);
    sp_report_say(r, "%s %s %u:%u qos %u%s: ", sp_options_scenario(t->o), sp_options_layout(t->o), t->o->publishers,
                  t->o->subscribers, t->o->qos, t->o->tls ? " tls" : "");
    sp_report_say(r, "sent %llu delivered %llu lost %llu dup %llu reordered %llu damaged %llu",
                  (unsigned long long)c->sent, (unsigned long long)c->deliveries, (unsigned long long)lost,
                  (unsigned long long)c->dups, (unsigned long long)c->reordered, (unsigned long long)c->damaged);
    if (t->fleet.lost > 0) {
        sp_report_say(r, " connections lost %u (%s)", t->fleet.lost, t->fleet.error);
    }
    return clean;
}

void
sp_traffic_free(struct sp_traffic *t)
{
    sp_fleet_free(&t->fleet);
    for (unsigned i = 0; t->publishers != NULL && i < t->o->publishers; i++) {
        free(t->publishers[i].packet);
        free(t->publishers[i].in_use);
    }
    free(t->publishers);
    free(t->streams);
    free(t->ready);
    free(t->next);
    free(t->filling);
}
