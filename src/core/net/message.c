#include <stdlib.h>
#include <string.h>

#include "net/router.h"

static struct sp_message *
copy(const struct sp_message *m)
{
    struct sp_message *k = malloc(sizeof(*k));
    struct sp_blob    *blob;
    char              *at;

    if (k == NULL) {
        return NULL;
    }
    blob = sp_blob_new(NULL, m->payload.n + m->topic.n + m->properties.n);
    if (blob == NULL) {
        free(k);
        return NULL;
    }
    *k = *m;
    at = blob->data;
    k->payload.p = at;
    if (m->payload.n > 0) {
        memcpy(at, m->payload.p, m->payload.n);
    }
    at += m->payload.n;
    k->topic.p = at;
    if (m->topic.n > 0) {
        memcpy(at, m->topic.p, m->topic.n);
    }
    at += m->topic.n;
    k->properties.p = at;
    if (m->properties.n > 0) {
        memcpy(at, m->properties.p, m->properties.n);
    }
    k->owner = blob;
    k->refs = 1;
    k->kept = NULL;
    k->encoded = NULL;
    return k;
}

struct sp_message *
sp_message_keep(struct sp_message *m)
{
    if (m->refs > 0) {
        m->refs++;
        return m;
    }
    if (m->kept == NULL) {
        m->kept = copy(m); /* this reference is the borrowed message's own: sp_router_publish gives it back */
        if (m->kept == NULL) {
            return NULL;
        }
    }
    m->kept->refs++;
    return m->kept;
}

void
sp_message_drop(struct sp_message *m)
{
    if (m != NULL && m->refs > 0 && --m->refs == 0) {
        sp_blob_unref(m->owner);
        free(m);
    }
}

bool
sp_message_expiry(const struct sp_message *m, uint64_t now_ms, uint32_t *seconds_left)
{
    uint64_t age_s = now_ms > m->received_ms ? (now_ms - m->received_ms) / 1000 : 0;

    if (m->expiry_s == UINT32_MAX) {
        *seconds_left = UINT32_MAX;
        return true;
    }
    if (age_s >= m->expiry_s) {
        return false;
    }
    *seconds_left = m->expiry_s - (uint32_t)age_s;
    return true;
}
