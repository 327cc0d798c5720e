#include "modules/mqtt_mtls/publish_out.h"

#include <errno.h>
#include <stdlib.h>

static void
count_sent(struct sp_mqtt_session *s, size_t packet_bytes, size_t payload_bytes)
{
    sp_mqtt_count(s->worker, SP_MQTT_M_PUBLISH_SENT, 1);
    sp_mqtt_count(s->worker, SP_MQTT_M_MESSAGES_SENT, 1);
    sp_mqtt_count(s->worker, SP_MQTT_M_BYTES_SENT, (int64_t)packet_bytes);
    sp_mqtt_count(s->worker, SP_MQTT_M_PUBLISH_BYTES_SENT, (int64_t)payload_bytes);
    s->sent_bytes += packet_bytes;
    if (!s->conn->touched) {
        sp_conn_touch(s->conn);
    }
}

static bool
too_large(const struct sp_mqtt_session *s, uint32_t packet_bytes)
{
    return s->peer.max_packet_bytes != 0 && packet_bytes > s->peer.max_packet_bytes;
}

/* ---- copies for further receivers ---- */

static struct sp_mqtt_encodings *
encodings_of(struct sp_mqtt_worker *w, struct sp_message *m)
{
    struct sp_mqtt_encodings *e = m->encoded;

    if (e == NULL) {
        e = &w->encodings;
        e->n = 0;
        e->expired = !sp_message_expiry(m, sp_clock_ms(), &e->expiry_s);
        m->encoded = e;
    }
    return e;
}

static const struct sp_mqtt_encoding *
find(const struct sp_mqtt_encodings *e, uint8_t key)
{
    for (unsigned i = 0; i < e->n; i++) {
        if (e->at[i].key == key) {
            return &e->at[i];
        }
    }
    return NULL;
}

static int
copy_to(struct sp_mqtt_session *s, const struct sp_mqtt_publication *p, const struct sp_mqtt_encoding *e)
{
    char *dst;

    if (too_large(s, e->n)) {
        return -EMSGSIZE;
    }
    dst = sp_outq_reserve(&s->conn->out, &s->conn->process->outq_pool, e->n);
    if (dst == NULL) {
        return -ENOMEM;
    }
    memcpy(dst, e->bytes, e->n);
    if (e->id_at != 0) {
        sp_mqtt_patch_packet_id(dst, e->id_at, p->packet_id);
    }
    count_sent(s, e->n, p->message->payload.n);
    return 0;
}

/* ---- encoding ---- */

/* What does not fit into one chunk is encoded elsewhere and appended. */
static int
append_long(struct sp_mqtt_session *s, const struct sp_mqtt_out *m, const struct sp_mqtt_out_size *size,
            bool with_payload)
{
    size_t n = with_payload ? size->packet_bytes : size->prefix_bytes;
    char  *bytes = malloc(n);
    int    rc;

    if (bytes == NULL) {
        return -ENOMEM;
    }
    if (with_payload) {
        sp_mqtt_encode_publish(bytes, m, size);
    } else {
        sp_mqtt_encode_publish_prefix(bytes, m, size);
    }
    rc = sp_outq_append(&s->conn->out, &s->conn->process->outq_pool, bytes, n);
    free(bytes);
    return rc;
}

/* The payload by reference. */
static int
append_large(struct sp_mqtt_session *s, struct sp_message *m, const struct sp_mqtt_out *out,
             const struct sp_mqtt_out_size *size)
{
    struct sp_outq_pool *pool = &s->conn->process->outq_pool;
    struct sp_message   *kept = sp_message_keep(m);
    int                  rc;

    if (kept == NULL) {
        return -ENOMEM;
    }
    rc = append_long(s, out, size, false);
    if (rc == 0) {
        rc = sp_outq_append_blob(&s->conn->out, pool, kept->owner, (size_t)(kept->payload.p - kept->owner->data),
                                 kept->payload.n);
        if (rc < 0) {
            sp_conn_close(s->conn, SP_CLOSE_PROTOCOL); /* half a packet is out */
        }
    }
    sp_message_drop(kept);
    return rc;
}

int
sp_mqtt_publish_to(struct sp_mqtt_session *s, const struct sp_mqtt_publication *p)
{
    struct sp_message        *m = p->message;
    struct sp_mqtt_encodings *shared = NULL;
    struct sp_mqtt_out        out = {0};
    struct sp_mqtt_out_size   size;
    uint8_t                   key = (uint8_t)((s->peer.level == 5 ? 8 : 0) | p->qos << 1 | (p->retain ? 1 : 0));
    uint32_t                  expiry_s = UINT32_MAX, id_at;
    char                     *dst;
    int                       rc;

    if (p->share && m->refs == 0) {
        shared = encodings_of(s->worker, m);
        if (shared->expired) {
            return -ETIME;
        }
        expiry_s = shared->expiry_s;
        if (p->nids == 0) {
            const struct sp_mqtt_encoding *e = find(shared, key);

            if (e != NULL) {
                return copy_to(s, p, e);
            }
        }
    } else if (!sp_message_expiry(m, sp_clock_ms(), &expiry_s)) {
        return -ETIME;
    }
    out.level = s->peer.level;
    out.qos = p->qos;
    out.retain = p->retain;
    out.packet_id = p->packet_id;
    out.has_expiry = expiry_s != UINT32_MAX;
    out.expiry_s = expiry_s;
    out.nsubscription_ids = p->nids;
    out.subscription_ids = p->ids;
    out.topic = m->topic;
    out.payload = m->payload;
    out.props = m->properties;
    if (sp_mqtt_publish_size(&out, &size) < 0 || too_large(s, size.packet_bytes)) {
        return -EMSGSIZE;
    }
    if (m->payload.n >= SP_OUTQ_REF_BYTES) {
        rc = append_large(s, m, &out, &size);
    } else if (size.packet_bytes > SP_OUTQ_CHUNK_BYTES) {
        rc = append_long(s, &out, &size, true);
    } else {
        dst = sp_outq_reserve(&s->conn->out, &s->conn->process->outq_pool, size.packet_bytes);
        if (dst == NULL) {
            return -ENOMEM;
        }
        id_at = sp_mqtt_encode_publish(dst, &out, &size);
        if (shared != NULL && p->nids == 0 && shared->n < sizeof(shared->at) / sizeof(shared->at[0])) {
            shared->at[shared->n++] = (struct sp_mqtt_encoding){dst, size.packet_bytes, id_at, key};
        }
        rc = 0;
    }
    if (rc == 0) {
        count_sent(s, size.packet_bytes, m->payload.n);
    }
    return rc;
}
