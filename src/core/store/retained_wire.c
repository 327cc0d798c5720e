#include "store/retained_wire.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

static void
complain(unsigned from)
{
    static struct sp_log_limit limit;

    sp_log_limited(&limit, 10, SP_LOG_ALERT, "bus: malformed message about retained messages from slot %u ignored",
                   from);
}

bool
retained_wire_read(unsigned from, const void *body, size_t bytes, struct retained_head *head,
                   struct retained_parts *parts)
{
    const char *at = (const char *)body + sizeof(*head);
    uint64_t    total;

    if (bytes < sizeof(*head)) {
        goto malformed;
    }
    memcpy(head, body, sizeof(*head));
    total = (uint64_t)head->topic_bytes + head->properties_bytes + head->payload_bytes + head->identity_bytes;
    if (total != bytes - sizeof(*head) || head->topic_bytes == 0 || head->qos > 2) {
        goto malformed;
    }
    parts->topic = (struct sp_str){at, head->topic_bytes};
    at += head->topic_bytes;
    parts->properties = (struct sp_str){at, head->properties_bytes};
    at += head->properties_bytes;
    parts->payload = (struct sp_str){at, head->payload_bytes};
    at += head->payload_bytes;
    parts->identity = (struct sp_str){at, head->identity_bytes};
    return true;

malformed:
    complain(from);
    return false;
}

bool
retained_answer_read(unsigned from, const void *body, size_t bytes, struct retained_answer *answer)
{
    if (bytes != sizeof(*answer)) {
        complain(from);
        return false;
    }
    memcpy(answer, body, sizeof(*answer));
    return true;
}

int
retained_wire_send(struct sp_bus *bus, unsigned to, unsigned type, struct retained_head *head,
                   const struct retained_parts *parts)
{
    struct iovec iov[5] = {
        {head, sizeof(*head)},
        {(void *)(uintptr_t)parts->topic.p, parts->topic.n},
        {(void *)(uintptr_t)parts->properties.p, parts->properties.n},
        {(void *)(uintptr_t)parts->payload.p, parts->payload.n},
        {(void *)(uintptr_t)parts->identity.p, parts->identity.n},
    };

    if (parts->topic.n > UINT16_MAX || parts->identity.n > UINT16_MAX || parts->properties.n > UINT32_MAX ||
        parts->payload.n > UINT32_MAX) {
        return -EMSGSIZE;
    }
    head->topic_bytes = (uint16_t)parts->topic.n;
    head->properties_bytes = (uint32_t)parts->properties.n;
    head->payload_bytes = (uint32_t)parts->payload.n;
    head->identity_bytes = (uint16_t)parts->identity.n;
    return sp_bus_send(bus, to, type, 0, iov, 5);
}
