/* What the files of the shelf share: shelf.c (what is kept, and its way to the disk), shelf_answer.c (questions). */
#ifndef SP_STORE_SHELF_INTERNAL_H
#define SP_STORE_SHELF_INTERNAL_H

#include "base/trie.h"
#include "base/wheel.h"
#include "process/process.h"
#include "store/retained_wire.h"

/* One retained message, in memory as on disk (format 1; refs is of no meaning there). Immutable; a question in progress may hold on
 * to one that was replaced. */
struct item {
    uint32_t refs;
    uint32_t payload_bytes, properties_bytes;
    uint16_t topic_bytes, identity_bytes;
    uint8_t  qos, utf8, zero[6];
    uint64_t expires_wall_ms; /* 0: never */
    char     bytes[];         /* topic, properties, payload, identity */
};

struct awaiting { /* a set that was not answered yet */
    struct awaiting *next;
    uint64_t         token;
    unsigned         slot;
    int              err;
};

struct expiry {
    struct sp_timer timer;
    struct place   *place;
};

/* A topic's place: writes of one topic follow each other, so the queue to the disk holds at most one of each. */
struct place {
    struct sp_shelf *shelf;
    struct item     *item;   /* NULL: deleted, on its way out of the store */
    struct expiry   *expiry; /* of an item that expires */
    bool             writing, dirty;
    struct awaiting *in_write, *in_next;
    uint16_t         topic_bytes;
    char             topic[];
};

/* Questions of one worker. */
struct asker {
    struct answer *active, **active_end; /* looked up, answered in turns */
    struct answer *waiting, **waiting_end;
    unsigned       nactive;
    bool           stuck; /* out of memory: until there is some */
};

struct sp_shelf {
    struct sp_process *process;
    struct sp_trie    *places;
    uint64_t           count, bytes, max_count, max_bytes;
    struct awaiting   *owed; /* answers that found no memory */
    uint64_t           expired_at_ms;
    unsigned           expired_now;
    struct asker       askers[SP_BUS_SLOTS_MAX];
    unsigned           next_asker;
    struct event      *turn;
};

static inline void
item_unref(struct item *it)
{
    if (it != NULL && --it->refs == 0) {
        free(it);
    }
}

int  shelf_answers_start(struct sp_shelf *s);
void shelf_answers_stop(struct sp_shelf *s);
void shelf_answers_forget(struct sp_shelf *s, unsigned slot);
void shelf_answers_room(struct sp_shelf *s);

#endif
