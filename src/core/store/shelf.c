#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/shelf_internal.h"
#include "store/store.h"

#define EXPIRIES_AT_ONCE 1000u
/* With so much on its way to the disk even those who do not ask for it wait for it: their workers then hold up the rest. */
#define BEHIND_CHANGES 16384u
#define BEHIND_BYTES   (UINT64_C(32) << 20)

static size_t
item_bytes(const struct item *it)
{
    return sizeof(*it) + it->topic_bytes + (size_t)it->properties_bytes + it->payload_bytes + it->identity_bytes;
}

static struct item *
item_new(const struct retained_parts *parts, uint8_t qos, uint8_t utf8, uint64_t expires_wall_ms)
{
    size_t       n = parts->topic.n + parts->properties.n + parts->payload.n + parts->identity.n;
    struct item *it = malloc(sizeof(*it) + n);
    char        *at;

    if (it == NULL) {
        return NULL;
    }
    *it = (struct item){
        .refs = 1,
        .payload_bytes = (uint32_t)parts->payload.n,
        .properties_bytes = (uint32_t)parts->properties.n,
        .topic_bytes = (uint16_t)parts->topic.n,
        .identity_bytes = (uint16_t)parts->identity.n,
        .qos = qos,
        .utf8 = utf8,
        .expires_wall_ms = expires_wall_ms,
    };
    at = it->bytes;
    at = (char *)mempcpy(at, parts->topic.p, parts->topic.n);
    at = parts->properties.n > 0 ? (char *)mempcpy(at, parts->properties.p, parts->properties.n) : at;
    at = (char *)mempcpy(at, parts->payload.p, parts->payload.n);
    if (parts->identity.n > 0) {
        memcpy(at, parts->identity.p, parts->identity.n);
    }
    return it;
}

/* -- places -- */

static struct place *
place_of(struct sp_shelf *s, struct sp_str topic)
{
    void        **at = sp_trie_put(s->places, topic);
    struct place *pl;

    if (at == NULL || *at != NULL) {
        return at == NULL ? NULL : *at;
    }
    pl = calloc(1, sizeof(*pl) + topic.n);
    if (pl == NULL) {
        sp_trie_remove(s->places, topic);
        return NULL;
    }
    pl->shelf = s;
    pl->topic_bytes = (uint16_t)topic.n;
    memcpy(pl->topic, topic.p, topic.n);
    *at = pl;
    return pl;
}

static struct sp_str
place_topic(const struct place *pl)
{
    return (struct sp_str){pl->topic, pl->topic_bytes};
}

static void
place_settle(struct place *pl)
{
    if (pl->item == NULL && !pl->writing) {
        sp_trie_remove(pl->shelf->places, place_topic(pl));
        free(pl);
    }
}

static void on_expiry(struct sp_timer *t, void *arg);

static uint64_t
rest_ms(const struct item *it)
{
    uint64_t now = sp_clock_wall_ms();

    return it->expires_wall_ms > now ? it->expires_wall_ms - now : 0;
}

/* What expires is in nobody's way any more: it goes from memory and disk. */
static int
place_expiry(struct place *pl, const struct item *it)
{
    if (it == NULL || it->expires_wall_ms == 0) {
        if (pl->expiry != NULL) {
            sp_timer_cancel(&pl->expiry->timer);
            free(pl->expiry);
            pl->expiry = NULL;
        }
        return 0;
    }
    if (pl->expiry == NULL) {
        pl->expiry = calloc(1, sizeof(*pl->expiry));
        if (pl->expiry == NULL) {
            return -ENOMEM;
        }
        pl->expiry->place = pl;
    }
    sp_timer_arm(pl->shelf->process->wheel, &pl->expiry->timer, rest_ms(it), on_expiry, pl->expiry);
    return 0;
}

/* Takes the item over; -ENOMEM: nothing has changed. */
static int
place_put(struct place *pl, struct item *it)
{
    struct sp_shelf *s = pl->shelf;
    int              rc = place_expiry(pl, it);

    if (rc < 0) {
        return rc;
    }
    if (pl->item != NULL) {
        s->count--;
        s->bytes -= item_bytes(pl->item);
        item_unref(pl->item);
    }
    pl->item = it;
    if (it != NULL) {
        s->count++;
        s->bytes += item_bytes(it);
    }
    return 0;
}

/* -- to the disk -- */

static int
send_answer(struct sp_shelf *s, unsigned slot, uint64_t token, int err)
{
    struct retained_answer a = {.token = token, .err = err};
    struct iovec           iov = {&a, sizeof(a)};

    return sp_bus_send(s->process->bus, slot, SP_BUS_RETAIN_STORED, 0, &iov, 1);
}

static void
answer(struct sp_shelf *s, struct awaiting *w, int err)
{
    if (send_answer(s, w->slot, w->token, err) == -ENOMEM) {
        w->err = err;
        w->next = s->owed;
        s->owed = w;
        return;
    }
    free(w);
}

static void
answer_all(struct sp_shelf *s, struct awaiting **list, int err)
{
    while (*list != NULL) {
        struct awaiting *w = *list;

        *list = w->next;
        answer(s, w, err);
    }
}

static void
on_room(struct sp_process *p)
{
    struct awaiting *owed = p->shelf->owed;

    p->shelf->owed = NULL;
    while (owed != NULL) {
        struct awaiting *w = owed;

        owed = w->next;
        answer(p->shelf, w, w->err);
    }
    shelf_answers_room(p->shelf);
}

static void write_place(struct place *pl);

static void
written(void *arg, int err)
{
    struct place *pl = arg;

    pl->writing = false;
    answer_all(pl->shelf, &pl->in_write, err);
    if (pl->dirty) {
        write_place(pl);
    }
    place_settle(pl);
}

static void
write_place(struct place *pl)
{
    struct sp_shelf *s = pl->shelf;
    struct sp_str    value = {NULL, 0};
    int              rc;

    if (pl->writing) {
        pl->dirty = true;
        return;
    }
    pl->dirty = false;
    pl->in_write = pl->in_next;
    pl->in_next = NULL;
    if (pl->item != NULL) {
        value = (struct sp_str){(const char *)pl->item, item_bytes(pl->item)};
    }
    pl->writing = true;
    rc = sp_store_put(s->process->store, "retained", place_topic(pl), value, written, pl);
    if (rc < 0) {
        pl->writing = false;
        sp_log(SP_LOG_CRIT, "out of memory: a retained message does not get to the disk");
        answer_all(s, &pl->in_write, rc);
    }
}

static void
on_expiry(struct sp_timer *t, void *arg)
{
    struct place    *pl = ((struct expiry *)arg)->place;
    struct sp_shelf *s = pl->shelf;
    uint64_t         now = sp_clock_ms(), rest = rest_ms(pl->item); /* not 0: the wall clock was set back */

    if (s->expired_at_ms != now) {
        s->expired_at_ms = now;
        s->expired_now = 0;
    }
    if (rest > 0 || s->expired_now++ >= EXPIRIES_AT_ONCE) { /* or many end together: the rest a tick later */
        sp_timer_arm(s->process->wheel, t, rest > 0 ? rest : 1, on_expiry, arg);
        return;
    }
    (void)place_put(pl, NULL);
    write_place(pl);
    place_settle(pl);
}

/* -- set -- */

static int
over_limit(struct sp_shelf *s, const struct place *pl, const struct retained_parts *parts)
{
    uint64_t freed = pl->item == NULL ? 0 : item_bytes(pl->item);
    uint64_t added = sizeof(struct item) + parts->topic.n + parts->properties.n + parts->payload.n + parts->identity.n;

    if (s->count + (pl->item == NULL ? 1 : 0) > s->max_count || s->bytes - freed + added > s->max_bytes) {
        static struct sp_log_limit limit;

        sp_log_limited(&limit, 5, SP_LOG_ERROR,
                       "retained messages are at their limit (%llu of %llu, %llu of %llu bytes): refused",
                       (unsigned long long)s->count, (unsigned long long)s->max_count, (unsigned long long)s->bytes,
                       (unsigned long long)s->max_bytes);
        return -ENOSPC;
    }
    return 0;
}

static int
store_message(struct sp_shelf *s, const struct retained_head *head, const struct retained_parts *parts,
              struct place **out)
{
    uint64_t      expires = head->expiry_s == UINT32_MAX ? 0 : sp_clock_wall_ms() + UINT64_C(1000) * head->expiry_s;
    struct place *pl;
    struct item  *it = NULL;
    int           rc;

    if (parts->payload.n == 0) { /* MQTT 5 3.3.1.3: an empty payload deletes */
        pl = sp_trie_get(s->places, parts->topic);
        *out = pl;
        return pl == NULL ? 0 : place_put(pl, NULL);
    }
    pl = place_of(s, parts->topic);
    if (pl == NULL) {
        return -ENOMEM;
    }
    rc = over_limit(s, pl, parts);
    if (rc < 0) {
        goto fail;
    }
    rc = -ENOMEM;
    it = item_new(parts, head->qos, head->utf8, expires);
    if (it == NULL || place_put(pl, it) < 0) {
        goto fail;
    }
    *out = pl;
    return 0;

fail:
    item_unref(it);
    place_settle(pl);
    return rc;
}

static bool
disk_is_behind(const struct sp_shelf *s)
{
    const struct sp_store *store = s->process->store;

    return sp_store_queued(store) > BEHIND_CHANGES || sp_store_queued_bytes(store) > BEHIND_BYTES;
}

static void
on_set(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct sp_shelf      *s = p->shelf;
    struct retained_head  head;
    struct retained_parts parts;
    struct awaiting      *w;
    struct place         *pl = NULL;
    int                   rc;

    if (from >= p->workers || !retained_wire_read(from, body, bytes, &head, &parts)) {
        return;
    }
    w = malloc(sizeof(*w));
    if (w == NULL) {
        (void)send_answer(s, from, head.token, -ENOMEM);
        return;
    }
    *w = (struct awaiting){.token = head.token, .slot = from};
    rc = store_message(s, &head, &parts, &pl);
    if (rc < 0 || pl == NULL) { /* or nothing there to be deleted */
        answer(s, w, rc);
        return;
    }
    if (head.durable || disk_is_behind(s)) {
        w->next = pl->in_next;
        pl->in_next = w;
    } else {
        answer(s, w, 0);
    }
    write_place(pl);
    place_settle(pl);
}

/* -- life -- */

static void
forget_awaiting(struct awaiting **list)
{
    while (*list != NULL) {
        struct awaiting *w = *list;

        *list = w->next;
        free(w);
    }
}

void
sp_shelf_peer_down(struct sp_shelf *s, unsigned slot)
{
    /* sets of a dead worker that are on their way to the disk are answered to nobody: a successor's tokens differ */
    if (slot < s->process->workers) {
        shelf_answers_forget(s, slot);
    }
}

static int
load_row(void *arg, struct sp_str key, struct sp_str value)
{
    struct sp_shelf *s = arg;
    struct item     *it;
    struct place    *pl;

    if (value.n < sizeof(*it)) {
        sp_log(SP_LOG_ERROR, "store: a retained message of %zu bytes cannot be one: left out", value.n);
        return 0;
    }
    it = malloc(value.n);
    if (it == NULL) {
        return -ENOMEM;
    }
    memcpy(it, value.p, value.n);
    it->refs = 1;
    if (item_bytes(it) != value.n || it->payload_bytes == 0 || it->qos > 2 || key.n == 0 || it->topic_bytes != key.n ||
        memcmp(it->bytes, key.p, key.n) != 0) {
        sp_log(SP_LOG_ERROR, "store: a retained message whose lengths do not agree is left out");
        free(it);
        return 0;
    }
    pl = place_of(s, key);
    if (pl == NULL || place_put(pl, it) < 0) { /* an expired one goes the way of all when its timer runs */
        free(it);
        return -ENOMEM;
    }
    return 0;
}

void
sp_shelf_commit(struct sp_shelf *s)
{
    const struct sp_snapshot *snapshot = s->process->snapshot;

    s->max_count = (uint64_t)sp_block_num(snapshot, snapshot->main, "retained_max_count");
    s->max_bytes = (uint64_t)sp_block_num(snapshot, snapshot->main, "retained_max_bytes");
}

int
sp_shelf_start(struct sp_process *p, struct sp_shelf **out)
{
    struct sp_shelf *s = calloc(1, sizeof(*s));
    int              rc;

    if (s == NULL) {
        return -ENOMEM;
    }
    s->process = p;
    rc = shelf_answers_start(s);
    if (rc < 0) {
        goto fail;
    }
    rc = sp_trie_create(&s->places);
    if (rc < 0) {
        goto fail;
    }
    sp_shelf_commit(s);
    rc = sp_store_load(p->store, "retained", load_row, s);
    if (rc < 0) {
        goto fail;
    }
    sp_bus_handle(p->bus, SP_BUS_RETAIN_SET, on_set);
    (void)sp_bus_on_room(p->bus, on_room);
    *out = s;
    return 0;

fail:
    sp_shelf_stop(s);
    return rc;
}

static bool
free_place(void *value, void *arg)
{
    struct place *pl = value;

    (void)arg;
    (void)place_expiry(pl, NULL);
    item_unref(pl->item);
    forget_awaiting(&pl->in_write);
    forget_awaiting(&pl->in_next);
    free(pl);
    return true;
}

void
sp_shelf_stop(struct sp_shelf *s)
{
    if (s == NULL) {
        return;
    }
    shelf_answers_stop(s);
    forget_awaiting(&s->owed);
    if (s->places != NULL) {
        sp_trie_walk(s->places, free_place, NULL);
        sp_trie_destroy(s->places);
    }
    free(s);
}

uint64_t
sp_shelf_count(const struct sp_shelf *s)
{
    return s->count;
}

uint64_t
sp_shelf_bytes(const struct sp_shelf *s)
{
    return s->bytes;
}
