#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "process/process.h"
#include "store/names.h"
#include "store/names_wire.h"

struct claimant {
    struct claimant *next;
    uint64_t         token, owner;
    unsigned         slot;
};

struct name { /* the first claimant holds it, the others wait in order of arrival */
    struct claimant *holder, **end;
    bool             granted, kicked; /* the holder was told so */
    bool             taken_over;      /* it is not the first holder */
    uint32_t         key_bytes;
    char             key[]; /* space, then the name */
};

#define EARLY_BYTES_MAX ((size_t)64 << 20)

struct early { /* a claim that came before everyone had told what it holds */
    struct early *next;
    unsigned      from;
    size_t        bytes;
    _Alignas(8) char body[];
};

struct sp_registrar {
    struct sp_process *process;
    struct sp_map      names;
    uint64_t           awaited, ended;
    bool               open;   /* grants are given */
    bool               untold; /* memory ran out while somebody was told: look again when there is some */
    struct early      *early, **early_end;
    size_t             early_bytes;
};

static struct sp_str
name_key(const struct name *n)
{
    return (struct sp_str){n->key, n->key_bytes};
}

static int
tell(struct sp_registrar *r, unsigned type, const struct claimant *c, uint8_t flags, struct sp_str key)
{
    struct name_wire w = {.token = c->token, .owner = c->owner, .flags = flags};
    struct iovec     iov[2] = {{&w, sizeof(w)}, {NULL, 0}};

    if (key.n > 0) {
        w.space = (uint8_t)key.p[0];
        iov[1] = (struct iovec){(void *)(uintptr_t)(key.p + 1), key.n - 1};
    }
    return sp_bus_send(r->process->bus, c->slot, type, 0, iov, 2);
}

/* Tells the holder what it does not know yet: that it holds the name, that somebody waits for it. */
static void
settle(struct sp_registrar *r, struct name *n)
{
    int rc = 0;

    if (n->holder == NULL) {
        return;
    }
    if (!n->granted) {
        rc = tell(r, SP_BUS_NAME_GRANT, n->holder, n->taken_over, (struct sp_str){NULL, 0});
        n->granted = rc == 0;
    }
    if (n->granted && !n->kicked && n->holder->next != NULL) {
        rc = tell(r, SP_BUS_NAME_KICK, n->holder, 0, name_key(n));
        n->kicked = rc == 0;
    }
    r->untold |= rc == -ENOMEM;
}

static void
on_room(struct sp_process *p)
{
    struct sp_registrar *r = p->registrar;
    struct sp_map_entry *e;
    size_t               pos = 0;

    if (!r->untold) {
        return;
    }
    r->untold = false;
    while ((e = sp_map_next(&r->names, &pos)) != NULL) {
        settle(r, e->value);
    }
}

/* A claim that cannot be taken for want of memory: its owner is told to go, rather than to wait for ever. */
static void
refuse(struct sp_registrar *r, unsigned from, const struct name_wire *w)
{
    const struct claimant c = {NULL, w->token, w->owner, from};

    (void)tell(r, SP_BUS_NAME_KICK, &c, 0, (struct sp_str){NULL, 0});
    sp_log(SP_LOG_CRIT, "registrar: out of memory, a claim of worker %u is refused", from);
}

static struct name *
find(struct sp_registrar *r, uint8_t space, struct sp_str text, bool make)
{
    char         key[1 + UINT16_MAX];
    struct name *n;

    key[0] = (char)space;
    if (text.n > 0) {
        memcpy(key + 1, text.p, text.n);
    }
    n = sp_map_get(&r->names, (struct sp_str){key, 1 + text.n});
    if (n != NULL || !make) {
        return n;
    }
    n = calloc(1, sizeof(*n) + 1 + text.n);
    if (n == NULL) {
        return NULL;
    }
    n->key_bytes = (uint32_t)(1 + text.n);
    memcpy(n->key, key, n->key_bytes);
    n->end = &n->holder;
    if (sp_map_put(&r->names, name_key(n), n, NULL) < 0) {
        free(n);
        return NULL;
    }
    return n;
}

static int
append(struct name *n, unsigned slot, const struct name_wire *w)
{
    struct claimant *c = malloc(sizeof(*c));

    if (c == NULL) {
        return -ENOMEM;
    }
    *c = (struct claimant){NULL, w->token, w->owner, slot};
    *n->end = c;
    n->end = &c->next;
    return 0;
}

static void
forget_if_free(struct sp_registrar *r, struct name *n)
{
    if (n->holder == NULL) {
        sp_map_remove(&r->names, name_key(n));
        free(n);
    }
}

/* Takes every claimant out that `gone` accepts; promotes the next one when that was the holder. */
static void
take_out(struct sp_registrar *r, struct name *n, bool (*gone)(const struct claimant *, unsigned slot, uint64_t token),
         unsigned slot, uint64_t token)
{
    struct claimant *held = n->holder;

    for (struct claimant **at = &n->holder; *at != NULL;) {
        struct claimant *c = *at;

        if (gone(c, slot, token)) {
            *at = c->next;
            held = held == c ? NULL : held;
            free(c);
        } else {
            at = &c->next;
        }
    }
    for (n->end = &n->holder; *n->end != NULL; n->end = &(*n->end)->next) {
    }
    if (n->holder != held) {
        n->granted = n->kicked = false;
        n->taken_over = true;
    }
    settle(r, n);
}

static bool
is_claim(const struct claimant *c, unsigned slot, uint64_t token)
{
    return c->slot == slot && c->token == token;
}

static bool
is_of_slot(const struct claimant *c, unsigned slot, uint64_t token)
{
    (void)token;
    return c->slot == slot;
}

/* -- messages -- */

/* The name with the claim entered; NULL when it is known already, or out of memory (*rc). */
static struct name *
enter(struct sp_registrar *r, unsigned from, const struct name_wire *w, struct sp_str text, int *rc)
{
    struct name *n = find(r, w->space, text, true);

    *rc = n == NULL ? -ENOMEM : 0;
    if (n == NULL) {
        return NULL;
    }
    for (const struct claimant *c = n->holder; c != NULL; c = c->next) {
        if (is_claim(c, from, w->token)) {
            return NULL; /* repeated */
        }
    }
    *rc = append(n, from, w);
    if (*rc < 0) {
        forget_if_free(r, n);
        return NULL;
    }
    return n;
}

static void
claim(struct sp_registrar *r, unsigned from, const struct name_wire *w, struct sp_str text)
{
    int          rc;
    struct name *n = enter(r, from, w, text, &rc);

    if (n != NULL) {
        settle(r, n);
    } else if (rc < 0) {
        refuse(r, from, w);
    }
}

static void
keep_early(struct sp_registrar *r, unsigned from, const struct name_wire *w, const void *body, size_t bytes)
{
    struct early *e = r->early_bytes > EARLY_BYTES_MAX ? NULL : malloc(sizeof(*e) + bytes);

    if (e == NULL) {
        refuse(r, from, w);
        return;
    }
    e->next = NULL;
    e->from = from;
    e->bytes = bytes;
    memcpy(e->body, body, bytes);
    *r->early_end = e;
    r->early_end = &e->next;
    r->early_bytes += sizeof(*e) + bytes;
}

static void
free_early(struct sp_registrar *r, struct early *e)
{
    r->early_bytes -= sizeof(*e) + e->bytes;
    free(e);
}

static void
on_claim(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct name_wire w;
    struct sp_str    text;

    if (!name_wire_read(from, body, bytes, &w, &text)) {
        return;
    }
    if (p->registrar->open) {
        claim(p->registrar, from, &w, text);
    } else {
        keep_early(p->registrar, from, &w, body, bytes);
    }
}

static void
on_held(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct sp_registrar *r = p->registrar;
    struct name_wire     w;
    struct sp_str        text;
    struct name         *n;
    int                  rc;

    if (!name_wire_read(from, body, bytes, &w, &text)) {
        return;
    }
    n = enter(r, from, &w, text, &rc);
    if (n == NULL) {
        if (rc < 0) {
            refuse(r, from, &w);
        }
        return;
    }
    n->granted |= n->holder->next == NULL; /* it knows */
    settle(r, n); /* two that say they hold it: the first one goes, the second is granted again, to no effect */
}

static void
on_release(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct sp_registrar *r = p->registrar;
    struct name_wire     w;
    struct sp_str        text;
    struct name         *n;

    if (!name_wire_read(from, body, bytes, &w, &text)) {
        return;
    }
    for (struct early **at = &r->early; *at != NULL; at = &(*at)->next) {
        struct early    *e = *at;
        struct name_wire waiting;

        memcpy(&waiting, e->body, sizeof(waiting));
        if (e->from == from && waiting.token == w.token) {
            *at = e->next;
            if (*at == NULL) {
                r->early_end = at;
            }
            free_early(r, e);
            return;
        }
    }
    n = find(r, w.space, text, false);
    if (n != NULL) {
        take_out(r, n, is_claim, from, w.token);
        forget_if_free(r, n);
    }
}

static void
open_if_told(struct sp_registrar *r)
{
    if (r->open || (r->awaited & ~r->ended) != 0) {
        return;
    }
    r->open = true;
    while (r->early != NULL) {
        struct early    *e = r->early;
        struct name_wire w;
        struct sp_str    text;

        r->early = e->next;
        if (name_wire_read(e->from, e->body, e->bytes, &w, &text) && sp_bus_peer_is_up(r->process->bus, e->from)) {
            claim(r, e->from, &w, text);
        }
        free_early(r, e);
    }
    r->early_end = &r->early;
}

static void
on_end(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    (void)body;
    (void)bytes;
    if (from >= p->workers) {
        return;
    }
    p->registrar->ended |= UINT64_C(1) << from;
    if (p->registrar->awaited != 0) {
        open_if_told(p->registrar);
    }
}

void
sp_registrar_peers_known(struct sp_registrar *r)
{
    for (unsigned slot = 0; slot < r->process->workers; slot++) {
        if (sp_bus_peer_is_up(r->process->bus, slot)) {
            r->awaited |= UINT64_C(1) << slot;
        }
    }
    open_if_told(r);
}

void
sp_registrar_peer_down(struct sp_registrar *r, unsigned slot)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    if (slot >= r->process->workers) {
        return;
    }
    for (struct early **at = &r->early; *at != NULL;) {
        struct early *gone = *at;

        if (gone->from == slot) {
            *at = gone->next;
            free_early(r, gone);
        } else {
            at = &gone->next;
        }
    }
    for (r->early_end = &r->early; *r->early_end != NULL; r->early_end = &(*r->early_end)->next) {
    }
    while ((e = sp_map_next(&r->names, &pos)) != NULL) {
        struct name *n = e->value;

        take_out(r, n, is_of_slot, slot, 0);
        forget_if_free(r, n);
    }
    if (r->awaited & (UINT64_C(1) << slot)) {
        r->awaited &= ~(UINT64_C(1) << slot);
        open_if_told(r);
    }
    r->ended &= ~(UINT64_C(1) << slot);
}

/* -- life -- */

int
sp_registrar_start(struct sp_process *p, struct sp_registrar **out)
{
    struct sp_registrar *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return -ENOMEM;
    }
    r->process = p;
    r->early_end = &r->early;
    sp_bus_handle(p->bus, SP_BUS_NAME_CLAIM, on_claim);
    sp_bus_handle(p->bus, SP_BUS_NAME_HELD, on_held);
    sp_bus_handle(p->bus, SP_BUS_NAME_RELEASE, on_release);
    sp_bus_handle(p->bus, SP_BUS_NAME_END, on_end);
    (void)sp_bus_on_room(p->bus, on_room);
    *out = r;
    return 0;
}

unsigned
sp_registrar_count(const struct sp_registrar *r)
{
    return (unsigned)r->names.count;
}

void
sp_registrar_stop(struct sp_registrar *r)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    if (r == NULL) {
        return;
    }
    while ((e = sp_map_next(&r->names, &pos)) != NULL) {
        struct name *n = e->value;

        while (n->holder != NULL) {
            struct claimant *c = n->holder;

            n->holder = c->next;
            free(c);
        }
        free(n);
    }
    sp_map_clear(&r->names);
    while (r->early != NULL) {
        struct early *gone = r->early;

        r->early = gone->next;
        free_early(r, gone);
    }
    free(r);
}
