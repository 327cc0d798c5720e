#include "modules/policy_resolver/memo.h"

#include <stdlib.h>

#include "base/hash.h"

static char *
put(char *p, const void *bytes, size_t n)
{
    if (n > 0) {
        memcpy(p, bytes, n);
    }
    return p + n;
}

/* Lengths first, so that no two questions have one text. */
void
sp_memo_key(const struct sp_memo *m, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
            struct sp_memo_key *out)
{
    struct sp_str client = m->clients ? who->client_id : (struct sp_str){NULL, 0};
    struct {
        const struct sp_block *realm;
        uint16_t               identity, client, application;
        uint8_t                action, anonymous;
    } head;
    char *p = out->text;

    out->bytes = 0;
    if (who->identity.n > SP_MEMO_KEY_BYTES || client.n > SP_MEMO_KEY_BYTES || who->application.n > SP_MEMO_KEY_BYTES ||
        sizeof(head) + who->identity.n + client.n + who->application.n + topic.n > SP_MEMO_KEY_BYTES) {
        return;
    }
    memset(&head, 0, sizeof(head));
    head.realm = who->realm;
    head.identity = (uint16_t)who->identity.n;
    head.client = (uint16_t)client.n;
    head.application = (uint16_t)who->application.n;
    head.action = (uint8_t)action;
    head.anonymous = who->anonymous;
    p = put(p, &head, sizeof(head));
    p = put(p, who->identity.p, who->identity.n);
    p = put(p, client.p, client.n);
    p = put(p, who->application.p, who->application.n);
    p = put(p, topic.p, topic.n);
    out->bytes = (uint32_t)(p - out->text);
    out->hash = sp_hash((struct sp_str){out->text, out->bytes});
}

static const char *
slot_key(const struct sp_memo_slot *s)
{
    return s->key_bytes <= SP_MEMO_INLINE ? s->text : s->key;
}

bool
sp_memo_find(struct sp_memo *m, const struct sp_memo_key *key, struct sp_decision *out)
{
    size_t at = (size_t)key->hash & (SP_MEMO_SLOTS - 1);

    if (key->bytes == 0 || m->slots == NULL) {
        m->misses++;
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        const struct sp_memo_slot *s = &m->slots[at ^ i];
        if (s->hash == key->hash && s->key_bytes == key->bytes && memcmp(slot_key(s), key->text, key->bytes) == 0) {
            *out = s->decision;
            m->hits++;
            return true;
        }
    }
    m->misses++;
    return false;
}

void
sp_memo_add(struct sp_memo *m, const struct sp_memo_key *key, const struct sp_decision *d)
{
    size_t               at = (size_t)key->hash & (SP_MEMO_SLOTS - 1);
    struct sp_memo_slot *s;

    if (key->bytes == 0) {
        return;
    }
    if (m->slots == NULL) {
        m->slots = calloc(SP_MEMO_SLOTS, sizeof(*m->slots));
        if (m->slots == NULL) {
            return;
        }
    }
    s = &m->slots[at ^ m->turn];
    m->turn ^= m->slots[at].key_bytes != 0; /* which of a full pair goes: now this, now that */
    if (m->slots[at].key_bytes == 0) {
        s = &m->slots[at];
    }
    if (key->bytes > SP_MEMO_INLINE && s->key_cap < key->bytes) {
        char *p = realloc(s->key, (size_t)key->bytes + 16);
        if (p == NULL) {
            return;
        }
        s->key = p;
        s->key_cap = key->bytes + 16;
    }
    s->key_bytes = key->bytes;
    memcpy(key->bytes <= SP_MEMO_INLINE ? s->text : s->key, key->text, key->bytes);
    s->hash = key->hash;
    s->decision = *d;
}

void
sp_memo_clear(struct sp_memo *m)
{
    for (size_t i = 0; m->slots != NULL && i < SP_MEMO_SLOTS; i++) {
        free(m->slots[i].key);
    }
    free(m->slots);
    m->slots = NULL;
}
