#include "net/bus.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/bus_shared.h"
#include "process/process.h"

enum { PART_FIRST = 1, PART_LAST = 2 };

struct wire {          /* in front of every record's body */
    uint32_t epoch;    /* of the sender */
    uint32_t to_epoch; /* whom it is meant for: a successor in the slot does not hear it */
    uint16_t type;
    uint16_t parts;
    uint32_t total_bytes; /* of the whole message */
};

#define MESSAGE_BYTES_MAX  (288u << 20) /* above MQTT's largest packet */
#define RECORDS_PER_TURN   4096         /* from all together */
#define RECORDS_PER_PEER   64           /* but at least so many from each */
#define ROOM_CALLBACKS_MAX 8
#define STARVED_RETRY_MS   100

struct waiting { /* a message that found no room */
    struct waiting *next;
    uint16_t        type;
    size_t          bytes, sent;
    char            data[];
};

struct peer {
    uint32_t        epoch;
    bool            up, touched;
    struct sp_ring *out, *in;
    size_t          unpublished_bytes;
    struct waiting *first, **last;
    char           *assembly; /* a fragmented message on its way in */
    size_t          assembly_bytes, assembly_filled;
};

struct sp_bus {
    struct sp_process    *process;
    struct sp_bus_shared *shared;
    unsigned              slot;
    uint32_t              epoch;
    struct event         *doorbell;
    sp_bus_fn             handlers[SP_BUS_TYPES];
    struct peer           peers[SP_BUS_SLOTS_MAX];
    size_t                queued_bytes;
    bool                  dirty; /* a ring was written to since the last sp_bus_publish */
    bool                  was_congested;
    bool                  starved, retrying; /* a send failed for want of memory; its timeout runs */
    char                 *copy;              /* the record that a handler looks at */
    void (*on_up)(struct sp_process *, unsigned);
    void (*on_down)(struct sp_process *, unsigned);
    void (*on_room[ROOM_CALLBACKS_MAX])(struct sp_process *);
    unsigned non_room;
};

/* -- sending -- */

static void
ring_doorbell(const struct sp_bus *b, unsigned slot)
{
    uint64_t one = 1;
    ssize_t  n = write(b->shared->doorbells[slot], &one, sizeof(one));

    (void)n; /* EAGAIN: the counter is full, so it rings already */
}

static void
publish(struct sp_bus *b, struct peer *p)
{
    sp_ring_publish(p->out);
    p->unpublished_bytes = 0;
    if (sp_ring_consumer_sleeps(p->out)) {
        ring_doorbell(b, (unsigned)(p - b->peers));
    }
}

static int
ring_write(struct sp_bus *b, struct peer *p, uint16_t type, uint16_t parts, uint64_t total, const struct iovec *iov,
           int iovcnt, size_t n)
{
    struct wire w = {
        .epoch = b->epoch, .to_epoch = p->epoch, .type = type, .parts = parts, .total_bytes = (uint32_t)total};
    char *at = sp_ring_reserve(p->out, sizeof(w) + n);

    if (at == NULL) {
        return -EAGAIN;
    }
    memcpy(at, &w, sizeof(w));
    at += sizeof(w);
    for (int i = 0; i < iovcnt; i++) {
        if (iov[i].iov_len > 0) {
            memcpy(at, iov[i].iov_base, iov[i].iov_len);
            at += iov[i].iov_len;
        }
    }
    p->touched = true;
    b->dirty = true;
    p->unpublished_bytes += sizeof(w) + n;
    if (p->unpublished_bytes >= sp_ring_max_record(p->out)) {
        publish(b, p); /* a burst within one turn: the reader starts on it, or the ring would seem full */
    }
    return 0;
}

static size_t
part_max(const struct peer *p)
{
    return sp_ring_max_record(p->out) - sizeof(struct wire);
}

static int
wait_in_line(struct sp_bus *b, struct peer *p, uint16_t type, const struct iovec *iov, int iovcnt, size_t n)
{
    struct waiting *w = malloc(sizeof(*w) + n);
    char           *at;

    if (w == NULL) {
        b->starved = true;
        return -ENOMEM;
    }
    *w = (struct waiting){.type = type, .bytes = n};
    at = w->data;
    for (int i = 0; i < iovcnt; i++) {
        if (iov[i].iov_len > 0) {
            memcpy(at, iov[i].iov_base, iov[i].iov_len);
            at += iov[i].iov_len;
        }
    }
    *p->last = w;
    p->last = &w->next;
    b->queued_bytes += n;
    b->was_congested = true;
    p->touched = true;
    return 0;
}

int
sp_bus_send(struct sp_bus *b, unsigned to, unsigned type, unsigned flags, const struct iovec *iov, int iovcnt)
{
    struct peer *p;
    size_t       n = 0;

    if (to >= b->shared->slots || to == b->slot || !b->peers[to].up) {
        return -EHOSTDOWN;
    }
    p = &b->peers[to];
    for (int i = 0; i < iovcnt; i++) {
        n += iov[i].iov_len;
    }
    if (n > MESSAGE_BYTES_MAX) {
        return -EMSGSIZE;
    }
    if (p->first == NULL && n <= part_max(p) &&
        ring_write(b, p, (uint16_t)type, PART_FIRST | PART_LAST, n, iov, iovcnt, n) == 0) {
        return 0;
    }
    if ((flags & SP_BUS_DROPPABLE) && (p->first != NULL || n <= part_max(p))) {
        return -EAGAIN;
    }
    return wait_in_line(b, p, (uint16_t)type, iov, iovcnt, n);
}

/* Moves waiting messages into the ring, large ones part by part, until it is full. */
static void
advance_line(struct sp_bus *b, struct peer *p)
{
    while (p->first != NULL) {
        struct waiting *w = p->first;

        do {
            size_t       n = w->bytes - w->sent;
            uint16_t     parts = (uint16_t)(w->sent == 0 ? PART_FIRST : 0);
            struct iovec iov;

            if (n > part_max(p)) {
                n = part_max(p);
            } else {
                parts |= PART_LAST;
            }
            iov = (struct iovec){w->data + w->sent, n};
            if (ring_write(b, p, w->type, parts, w->bytes, &iov, 1, n) < 0) {
                return;
            }
            w->sent += n;
        } while (w->sent < w->bytes);
        b->queued_bytes -= w->bytes;
        p->first = w->next;
        if (p->first == NULL) {
            p->last = &p->first;
        }
        free(w);
    }
}

static void
drop_line(struct sp_bus *b, struct peer *p)
{
    while (p->first != NULL) {
        struct waiting *w = p->first;

        p->first = w->next;
        b->queued_bytes -= w->bytes;
        free(w);
    }
    p->last = &p->first;
}

static bool
any_congested(const struct sp_bus *b)
{
    for (unsigned i = 0; i < b->shared->slots; i++) {
        if (b->peers[i].first != NULL) {
            return true;
        }
    }
    return false;
}

static void
send_off(struct sp_bus *b, unsigned slot)
{
    struct peer *p = &b->peers[slot];

    advance_line(b, p);
    if (p->first != NULL) {
        /* ask first, then look again: room that came in between would otherwise go unnoticed */
        sp_ring_want_room(p->out);
        advance_line(b, p);
    }
    publish(b, p);
    p->touched = p->first != NULL;
}

/* -- receiving -- */

static void
drop_assembly(struct peer *p)
{
    free(p->assembly);
    p->assembly = NULL;
}

static void
peer_down(struct sp_bus *b, unsigned slot)
{
    struct peer *p = &b->peers[slot];

    if (!p->up) {
        return;
    }
    p->up = false;
    drop_line(b, p);
    drop_assembly(p);
    if (b->on_down != NULL) {
        b->on_down(b->process, slot);
    }
}

static void
peer_up(struct sp_bus *b, unsigned slot, uint32_t epoch)
{
    struct peer *p = &b->peers[slot];

    peer_down(b, slot);
    p->epoch = epoch;
    p->up = true;
    if (b->on_up != NULL) {
        b->on_up(b->process, slot);
    }
}

static void
complain(unsigned from, const char *what)
{
    static struct sp_log_limit limit;

    sp_log_limited(&limit, 10, SP_LOG_ALERT, "bus: %s from slot %u ignored", what, from);
}

static void
dispatch(struct sp_bus *b, unsigned from, uint16_t type, const void *body, size_t n)
{
    if (type < SP_BUS_TYPES && b->handlers[type] != NULL) {
        b->handlers[type](b->process, from, body, n);
        return;
    }
    complain(from, "message of unknown type");
}

/* Handlers look at a copy, or a sender that went mad could change what they have checked already. */
static void
dispatch_record(struct sp_bus *b, unsigned from, uint16_t type, const void *body, size_t n)
{
    if (n > 0) {
        memcpy(b->copy, body, n);
    }
    dispatch(b, from, type, b->copy, n);
}

/* A message in parts: it is whole with the last one. */
static bool
assemble(struct sp_bus *b, unsigned from, const struct wire *w, const char *body, size_t n)
{
    struct peer *p = &b->peers[from];
    char        *whole;

    if (w->parts & PART_FIRST) {
        drop_assembly(p);
        if (w->total_bytes == 0 || w->total_bytes > MESSAGE_BYTES_MAX) {
            return false;
        }
        p->assembly = malloc(w->total_bytes);
        if (p->assembly == NULL) {
            sp_log(SP_LOG_CRIT, "bus: out of memory for a message of %u bytes from slot %u: it is lost", w->total_bytes,
                   from);
        }
        p->assembly_bytes = w->total_bytes;
        p->assembly_filled = 0;
    }
    if (p->assembly == NULL) {
        return true; /* the rest of what was lost or refused already */
    }
    if (w->total_bytes != p->assembly_bytes || n > p->assembly_bytes - p->assembly_filled) {
        drop_assembly(p);
        return false;
    }
    if (n > 0) {
        memcpy(p->assembly + p->assembly_filled, body, n);
    }
    p->assembly_filled += n;
    if ((w->parts & PART_LAST) == 0) {
        return true;
    }
    whole = p->assembly;
    p->assembly = NULL;
    if (p->assembly_filled == p->assembly_bytes) {
        dispatch(b, from, w->type, whole, p->assembly_bytes);
    }
    free(whole);
    return p->assembly_filled == p->assembly_bytes;
}

static void
receive(struct sp_bus *b, unsigned from, const char *record, size_t n)
{
    struct peer *p = &b->peers[from];
    struct wire  w;
    bool         good = n >= sizeof(w);

    if (!good) {
        complain(from, "short record");
        return;
    }
    memcpy(&w, record, sizeof(w));
    if (w.to_epoch != b->epoch || w.epoch < p->epoch || (w.epoch == p->epoch && !p->up)) {
        return; /* meant for our predecessor, or the last words of one that was declared dead and heard out already */
    }
    if (w.epoch > p->epoch) {
        peer_up(b, from, w.epoch);
    }
    record += sizeof(w);
    n -= sizeof(w);
    if (w.parts == (PART_FIRST | PART_LAST)) {
        drop_assembly(p);
        good = w.total_bytes == n;
        if (good) {
            dispatch_record(b, from, w.type, record, n);
        }
    } else {
        good = assemble(b, from, &w, record, n);
    }
    if (!good) {
        complain(from, "malformed message");
    }
}

/* Returns true when more may be waiting. */
static bool
drain(struct sp_bus *b, unsigned from, unsigned budget)
{
    struct sp_ring *ring = b->peers[from].in;

    while (budget-- > 0) {
        const void *record;
        size_t      n;
        int         rc = sp_ring_peek(ring, &record, &n);

        if (rc == -EAGAIN) {
            return false;
        }
        if (rc < 0) {
            complain(from, "contents of a broken ring");
            return false;
        }
        receive(b, from, record, n);
        sp_ring_advance(ring);
    }
    return true;
}

static bool
room_is_back(const struct sp_bus *b)
{
    return b->was_congested && !any_congested(b);
}

static void
tell_room(struct sp_bus *b)
{
    for (unsigned i = 0; i < b->non_room; i++) {
        b->on_room[i](b->process);
    }
}

static void
doorbell_rang(evutil_socket_t fd, short what, void *arg)
{
    struct sp_bus *b = arg;
    unsigned       budget = RECORDS_PER_TURN / b->shared->slots;
    uint64_t       count;

    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN) {
        sp_log(SP_LOG_ALERT, "bus: doorbell: %s", strerror(errno));
    }
    for (unsigned i = 0; i < b->shared->slots; i++) {
        if (i == b->slot) {
            continue;
        }
        (void)drain(b, i, budget > RECORDS_PER_PEER ? budget : RECORDS_PER_PEER);
        if (sp_ring_producer_waits(b->peers[i].in)) {
            ring_doorbell(b, i);
        }
    }
    if ((what & EV_TIMEOUT) != 0) {
        event_remove_timer(b->doorbell);
        b->starved = b->retrying = false;
        tell_room(b);
    } else if (room_is_back(b)) {
        b->was_congested = false;
        tell_room(b);
    }
}

void
sp_bus_publish(struct sp_bus *b)
{
    if (!b->dirty) {
        return;
    }
    b->dirty = false;
    for (unsigned i = 0; i < b->shared->slots; i++) {
        if (i != b->slot && b->peers[i].touched) {
            send_off(b, i);
        }
    }
}

void
sp_bus_flush(struct sp_bus *b)
{
    bool more = false;

    for (unsigned i = 0; i < b->shared->slots; i++) {
        struct peer *p = &b->peers[i];

        if (i == b->slot) {
            continue;
        }
        if (p->touched) {
            send_off(b, i);
        }
        if (!sp_ring_sleep(p->in)) {
            more = true;
        }
    }
    b->dirty = false;
    /* whoever waits for room is told from the loop: what it does then is part of a whole turn */
    if (more || room_is_back(b)) {
        event_active(b->doorbell, EV_READ, 0);
    }
    if (b->starved && !b->retrying) {
        b->retrying = event_add(b->doorbell, &(struct timeval){0, STARVED_RETRY_MS * 1000}) == 0;
    }
}

/* -- peers -- */

/* What a process that is said to be dead had published counts: somebody may have been told that it was accepted. */
static void
hear_out(struct sp_bus *b, unsigned slot, uint32_t epoch)
{
    while (b->peers[slot].epoch <= epoch && drain(b, slot, RECORDS_PER_PEER)) {
    }
}

void
sp_bus_peer_up(struct sp_bus *b, unsigned slot, uint32_t epoch)
{
    struct peer *p;

    if (slot >= b->shared->slots || slot == b->slot) {
        return;
    }
    p = &b->peers[slot];
    if (p->up && epoch > p->epoch) {
        hear_out(b, slot, p->epoch);
    }
    if (epoch > p->epoch || (epoch == p->epoch && !p->up)) {
        peer_up(b, slot, epoch);
    }
}

void
sp_bus_peer_down(struct sp_bus *b, unsigned slot, uint32_t epoch)
{
    if (slot >= b->shared->slots || slot == b->slot || epoch < b->peers[slot].epoch) {
        return;
    }
    hear_out(b, slot, epoch);
    if (epoch >= b->peers[slot].epoch) {
        peer_down(b, slot);
        b->peers[slot].epoch = epoch;
    }
}

bool
sp_bus_peer_is_up(const struct sp_bus *b, unsigned slot)
{
    return slot < b->shared->slots && b->peers[slot].up;
}

void
sp_bus_on_peer(struct sp_bus *b, void (*up)(struct sp_process *, unsigned), void (*down)(struct sp_process *, unsigned))
{
    b->on_up = up;
    b->on_down = down;
}

int
sp_bus_on_room(struct sp_bus *b, void (*fn)(struct sp_process *))
{
    if (b->non_room == ROOM_CALLBACKS_MAX) {
        return -ENOSPC;
    }
    b->on_room[b->non_room++] = fn;
    return 0;
}

void
sp_bus_retry(struct sp_bus *b)
{
    b->starved = true;
}

bool
sp_bus_congested(const struct sp_bus *b, unsigned to)
{
    return to < b->shared->slots && b->peers[to].first != NULL;
}

void
sp_bus_handle(struct sp_bus *b, unsigned type, sp_bus_fn fn)
{
    if (type < SP_BUS_TYPES) {
        b->handlers[type] = fn;
    }
}

size_t
sp_bus_queued_bytes(const struct sp_bus *b)
{
    return b->queued_bytes;
}

/* -- life -- */

int
sp_bus_create(struct sp_process *process, struct sp_bus_shared *s, unsigned slot, uint32_t epoch,
              struct event_base *base, struct sp_bus **out)
{
    struct sp_bus *b;
    size_t         record_bytes = 0;

    if (slot >= s->slots) {
        return -EINVAL;
    }
    b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return -ENOMEM;
    }
    b->process = process;
    b->shared = s;
    b->slot = slot;
    b->epoch = epoch;
    for (unsigned i = 0; i < s->slots; i++) {
        struct peer *p = &b->peers[i];

        p->last = &p->first;
        if (i == slot) {
            continue;
        }
        p->out = s->rings[slot][i];
        p->in = s->rings[i][slot];
        sp_ring_produce(p->out);
        sp_ring_consume(p->in);
        record_bytes = sp_ring_max_record(p->in);
    }
    b->copy = malloc(record_bytes + 1);
    b->doorbell = event_new(base, s->doorbells[slot], EV_READ | EV_PERSIST, doorbell_rang, b);
    if (b->copy == NULL || b->doorbell == NULL || event_add(b->doorbell, NULL) < 0) {
        sp_bus_destroy(b);
        return -ENOMEM;
    }
    *out = b;
    return 0;
}

void
sp_bus_destroy(struct sp_bus *b)
{
    if (b == NULL) {
        return;
    }
    if (b->doorbell != NULL) {
        event_free(b->doorbell);
    }
    for (unsigned i = 0; i < b->shared->slots; i++) {
        drop_line(b, &b->peers[i]);
        drop_assembly(&b->peers[i]);
    }
    free(b->copy);
    free(b);
}
