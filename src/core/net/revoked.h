/*
 * The serials that a trust's CRLs revoke: looked up after every handshake, resumed or not, and for live sessions after a
 * reload. A certificate is known by its issuer's public key and its serial, so two CAs of one name are told apart. Built once, in a
 * snapshot's arena; then read only. Look-up: binary search over 24-byte entries.
 */
#ifndef SP_NET_REVOKED_H
#define SP_NET_REVOKED_H

#include <openssl/x509.h>

#include "base/arena.h"
#include "net/identity.h"

struct sp_revoked_entry {
    uint8_t key[16];
    int64_t date; /* seconds since the epoch */
};

struct sp_revoked_issuer {
    uint64_t id;
    int64_t  next_update; /* seconds since the epoch; INT64_MAX: the CRL names none */
};

struct sp_revoked {
    struct sp_revoked_entry  *entries; /* sorted */
    size_t                    nentries;
    struct sp_revoked_issuer *issuers;
    size_t                    nissuers;
};

/* The link of a certificate with this serial below an issuer with this certificate. False when OpenSSL fails. */
bool sp_revoked_link(X509 *issuer, const ASN1_INTEGER *serial, struct sp_chain_link *out);

/* crls[i] was signed by issuers[i]. 0 or -ENOMEM. Later CRLs of one issuer add to earlier ones. */
int sp_revoked_build(struct sp_arena *a, X509_CRL *const *crls, X509 *const *issuers, size_t n,
                     struct sp_revoked **out);

/* Is it revoked? Then *date says since when (may be NULL). */
bool sp_revoked_find(const struct sp_revoked *r, const struct sp_chain_link *link, int64_t *date);
/* The issuer's CRL, or NULL when it has none here. */
const struct sp_revoked_issuer *sp_revoked_issuer_find(const struct sp_revoked *r, uint64_t issuer);

#endif
