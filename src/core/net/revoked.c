#include "net/revoked.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define SERIAL_MAX 64 /* RFC 5280 4.1.2.2 allows 20 bytes; a longer one is cut, which can only revoke more */

struct issuer_key {
    uint8_t digest[32];
};

static bool
issuer_key(X509 *issuer, struct issuer_key *out)
{
    return X509_pubkey_digest(issuer, EVP_sha256(), out->digest, NULL) == 1;
}

static uint64_t
issuer_id(const struct issuer_key *key)
{
    uint64_t id;

    memcpy(&id, key->digest, sizeof(id));
    return id;
}

static bool
entry_key(const struct issuer_key *issuer, const ASN1_INTEGER *serial, uint8_t out[16])
{
    uint8_t bytes[32 + 1 + SERIAL_MAX], digest[32];
    int     n = ASN1_STRING_length(serial);

    n = n < 0 ? 0 : n > SERIAL_MAX ? SERIAL_MAX : n;
    memcpy(bytes, issuer->digest, 32);
    bytes[32] = (ASN1_STRING_type(serial) & V_ASN1_NEG) != 0;
    if (n > 0) {
        memcpy(bytes + 33, ASN1_STRING_get0_data(serial), (size_t)n);
    }
    if (EVP_Digest(bytes, 33 + (size_t)n, digest, NULL, EVP_sha256(), NULL) != 1) {
        return false;
    }
    memcpy(out, digest, 16);
    return true;
}

bool
sp_revoked_link(X509 *issuer, const ASN1_INTEGER *serial, struct sp_chain_link *out)
{
    struct issuer_key key;

    if (!issuer_key(issuer, &key) || !entry_key(&key, serial, out->key)) {
        return false;
    }
    out->issuer = issuer_id(&key);
    return true;
}

static int
compare(const void *a, const void *b)
{
    return memcmp(((const struct sp_revoked_entry *)a)->key, ((const struct sp_revoked_entry *)b)->key, 16);
}

static void
add_issuer(struct sp_revoked *r, uint64_t id, int64_t next_update)
{
    for (size_t i = 0; i < r->nissuers; i++) {
        if (r->issuers[i].id == id) { /* the freshest of several counts */
            r->issuers[i].next_update =
                r->issuers[i].next_update > next_update ? r->issuers[i].next_update : next_update;
            return;
        }
    }
    r->issuers[r->nissuers++] = (struct sp_revoked_issuer){id, next_update};
}

int
sp_revoked_build(struct sp_arena *a, X509_CRL *const *crls, X509 *const *issuers, size_t n, struct sp_revoked **out)
{
    struct sp_revoked *r = sp_arena_alloc(a, sizeof(*r));
    size_t             total = 0;

    for (size_t i = 0; i < n; i++) {
        int count = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crls[i]));
        total += count > 0 ? (size_t)count : 0;
    }
    r->issuers = sp_arena_array(a, n > 0 ? n : 1, sizeof(*r->issuers));
    r->entries = sp_arena_array(a, total > 0 ? total : 1, sizeof(*r->entries));
    for (size_t i = 0; i < n; i++) {
        STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(crls[i]);
        const ASN1_TIME  *next = X509_CRL_get0_nextUpdate(crls[i]);
        struct issuer_key key;

        if (!issuer_key(issuers[i], &key)) {
            return -ENOMEM;
        }
        add_issuer(r, issuer_id(&key), next == NULL ? INT64_MAX : sp_identity_time(next));
        for (int k = 0; k < sk_X509_REVOKED_num(list); k++) {
            const X509_REVOKED      *one = sk_X509_REVOKED_value(list, k);
            struct sp_revoked_entry *e = &r->entries[r->nentries];
            if (!entry_key(&key, X509_REVOKED_get0_serialNumber(one), e->key)) {
                return -ENOMEM;
            }
            e->date = sp_identity_time(X509_REVOKED_get0_revocationDate(one));
            r->nentries++;
        }
    }
    if (r->nentries > 1) {
        qsort(r->entries, r->nentries, sizeof(*r->entries), compare);
    }
    *out = r;
    return 0;
}

bool
sp_revoked_find(const struct sp_revoked *r, const struct sp_chain_link *link, int64_t *date)
{
    size_t low = 0, high = r == NULL ? 0 : r->nentries;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int    order = memcmp(link->key, r->entries[middle].key, 16);
        if (order == 0) {
            if (date != NULL) {
                *date = r->entries[middle].date;
            }
            return true;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return false;
}

const struct sp_revoked_issuer *
sp_revoked_issuer_find(const struct sp_revoked *r, uint64_t issuer)
{
    for (size_t i = 0; r != NULL && i < r->nissuers; i++) {
        if (r->issuers[i].id == issuer) {
            return &r->issuers[i];
        }
    }
    return NULL;
}
