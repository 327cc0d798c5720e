#include "store/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "process/process.h"
#include "store/names_wire.h"

struct sp_claim {
    uint64_t owner, token;
    bool     granted;
    uint8_t  space;
    void (*fn)(void *arg, bool took_over);
    void         *arg;
    struct sp_str name;
    char          text[];
};

struct sp_names {
    struct sp_process *process;
    void (*kicked)(struct sp_process *, uint64_t owner);
    struct sp_map claims; /* by token */
    uint64_t      next_token;
    bool          untold; /* memory ran out while the keeper was told */
    bool          alone;
};

static unsigned
keeper(const struct sp_names *n)
{
    return n->process->workers;
}

static int
tell(struct sp_names *n, unsigned type, const struct sp_claim *c)
{
    struct name_wire w = {.token = c->token, .owner = c->owner, .space = c->space};
    struct iovec     iov[2] = {{&w, sizeof(w)}, {(void *)(uintptr_t)c->name.p, c->name.n}};

    return sp_bus_send(n->process->bus, keeper(n), type, 0, iov, 2);
}

static struct sp_str
token_key(const uint64_t *token)
{
    return (struct sp_str){(const char *)token, sizeof(*token)};
}

/* -- without a keeper -- */

static struct sp_claim *
first_waiting(const struct sp_names *n)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    while ((e = sp_map_next(&n->claims, &pos)) != NULL) {
        struct sp_claim *c = e->value;
        if (!c->granted) {
            return c;
        }
    }
    return NULL;
}

static void
grant_waiting(struct sp_process *p, void *arg)
{
    struct sp_claim *c;

    (void)arg;
    while (p->names != NULL && (c = first_waiting(p->names)) != NULL) {
        c->granted = true;
        c->fn(c->arg, false); /* may release any claim */
    }
}

void
sp_names_alone(struct sp_names *n)
{
    n->alone = true;
    sp_process_later(n->process, grant_waiting, NULL);
}

/* -- */

struct sp_claim *
sp_names_claim(struct sp_names *n, uint8_t space, struct sp_str name, uint64_t owner,
               void (*granted)(void *arg, bool took_over), void *arg)
{
    struct sp_claim *c = name.n > UINT16_MAX ? NULL : calloc(1, sizeof(*c) + name.n);

    if (c == NULL) {
        return NULL;
    }
    if (name.n > 0) {
        memcpy(c->text, name.p, name.n);
    }
    c->name = (struct sp_str){c->text, name.n};
    c->space = space;
    c->owner = owner;
    c->token = ++n->next_token;
    c->fn = granted;
    c->arg = arg;
    if (sp_map_put(&n->claims, token_key(&c->token), c, NULL) < 0) {
        free(c);
        return NULL;
    }
    if (tell(n, SP_BUS_NAME_CLAIM, c) == -ENOMEM) { /* with no keeper now it is repeated to the next one */
        sp_map_remove(&n->claims, token_key(&c->token));
        free(c);
        return NULL;
    }
    if (n->alone) {
        sp_process_later(n->process, grant_waiting, NULL);
    }
    return c;
}

void
sp_names_release(struct sp_names *n, struct sp_claim *c)
{
    if (c == NULL) {
        return;
    }
    (void)tell(n, SP_BUS_NAME_RELEASE, c); /* lost: the keeper learns it when it wants the name back (on_kick) */
    sp_map_remove(&n->claims, token_key(&c->token));
    free(c);
}

static int
by_token(const void *x, const void *y)
{
    const struct sp_claim *const *a = x, *const *b = y;

    return (*a)->token < (*b)->token ? -1 : (*a)->token > (*b)->token;
}

/* What is held, the end, what waits: each claim in the order in which it was made, for that is the order of turns. */
static int
tell_all(struct sp_names *n)
{
    struct sp_claim    **all = calloc(n->claims.count + 1, sizeof(struct sp_claim *));
    struct sp_map_entry *e;
    size_t               pos = 0, count = 0;
    int                  rc = 0;

    if (all == NULL) {
        return -ENOMEM;
    }
    while ((e = sp_map_next(&n->claims, &pos)) != NULL) {
        all[count++] = e->value;
    }
    qsort(all, count, sizeof(*all), by_token);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = all[i]->granted ? tell(n, SP_BUS_NAME_HELD, all[i]) : 0;
    }
    if (rc == 0) {
        rc = sp_bus_send(n->process->bus, keeper(n), SP_BUS_NAME_END, 0, NULL, 0);
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = all[i]->granted ? 0 : tell(n, SP_BUS_NAME_CLAIM, all[i]);
    }
    free(all);
    return rc;
}

void
sp_names_keeper_up(struct sp_names *n)
{
    n->untold = tell_all(n) == -ENOMEM;
    if (n->untold) {
        sp_bus_retry(n->process->bus);
        sp_log(SP_LOG_CRIT, "out of memory: the keeper hears later which names are held here");
    }
}

static void
on_room(struct sp_process *p)
{
    if (p->names != NULL && p->names->untold) {
        sp_names_keeper_up(p->names);
    }
}

static void
on_grant(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct name_wire w;
    struct sp_str    rest;
    struct sp_claim *c;

    if (p->names == NULL || from != keeper(p->names) || !name_wire_read(from, body, bytes, &w, &rest)) {
        return;
    }
    c = sp_map_get(&p->names->claims, token_key(&w.token));
    if (c != NULL && !c->granted) {
        c->granted = true;
        c->fn(c->arg, w.flags != 0);
    }
}

static void
on_kick(struct sp_process *p, unsigned from, const void *body, size_t bytes)
{
    struct name_wire w;
    struct sp_str    name;
    struct sp_claim *c;

    if (p->names == NULL || from != keeper(p->names) || !name_wire_read(from, body, bytes, &w, &name)) {
        return;
    }
    c = sp_map_get(&p->names->claims, token_key(&w.token));
    if (c != NULL && c->owner == w.owner) {
        p->names->kicked(p, w.owner);
    } else if (c == NULL) { /* the release got lost, or it is on its way */
        struct iovec iov[2] = {{&w, sizeof(w)}, {(void *)(uintptr_t)name.p, name.n}};

        (void)sp_bus_send(p->bus, from, SP_BUS_NAME_RELEASE, 0, iov, 2);
    }
}

int
sp_names_start(struct sp_process *p, void (*kicked)(struct sp_process *p, uint64_t owner), struct sp_names **out)
{
    struct sp_names *n = calloc(1, sizeof(*n));

    if (n == NULL) {
        return -ENOMEM;
    }
    n->process = p;
    n->kicked = kicked;
    n->next_token = (uint64_t)p->epoch << 40; /* answers to a predecessor fit none of ours */
    sp_bus_handle(p->bus, SP_BUS_NAME_GRANT, on_grant);
    sp_bus_handle(p->bus, SP_BUS_NAME_KICK, on_kick);
    (void)sp_bus_on_room(p->bus, on_room);
    *out = n;
    return 0;
}

void
sp_names_stop(struct sp_names *n)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    if (n == NULL) {
        return;
    }
    while ((e = sp_map_next(&n->claims, &pos)) != NULL) {
        free(e->value);
    }
    sp_map_clear(&n->claims);
    free(n);
}
