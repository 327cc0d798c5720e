/* The body of every SP_BUS_NAME_* message but NAME_END, which has none; the name follows (not in a NAME_GRANT). */
#ifndef SP_STORE_NAMES_WIRE_H
#define SP_STORE_NAMES_WIRE_H

#include "base/log.h"
#include "net/bus.h"
#include "store/names.h"

struct name_wire {
    uint64_t token; /* the claiming worker's number for the claim */
    uint64_t owner;
    uint8_t  space;
    uint8_t  flags; /* NAME_GRANT: 1 when somebody else held the name */
    uint8_t  zero[6];
};

static inline bool
name_wire_read(unsigned from, const void *body, size_t bytes, struct name_wire *w, struct sp_str *name)
{
    static struct sp_log_limit limit;

    if (bytes < sizeof(*w) || bytes - sizeof(*w) > UINT16_MAX) {
        sp_log_limited(&limit, 10, SP_LOG_ALERT, "bus: malformed name message from slot %u ignored", from);
        return false;
    }
    memcpy(w, body, sizeof(*w));
    *name = (struct sp_str){(const char *)body + sizeof(*w), bytes - sizeof(*w)};
    return true;
}

#endif
