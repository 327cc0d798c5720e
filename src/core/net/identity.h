/*
 * Who a peer is: a verified name, never a claim. Reference-counted; connections with the same certificate share one.
 *
 * A worker keeps its identities in a table by the certificate's fingerprint, the trust's name and the place the name is
 * taken from. Those that no connection uses any more are kept for a while (SP_IDENTITIES_IDLE), so that a fleet that
 * reconnects is not parsed and verified anew; the peer still proves that it has the key, every time.
 */
#ifndef SP_NET_IDENTITY_H
#define SP_NET_IDENTITY_H

#include <openssl/x509.h>

#include "base/hash.h"

enum sp_credential { SP_CRED_NONE, SP_CRED_CERTIFICATE };

enum sp_identity_from { SP_ID_CN, SP_ID_SAN_URI, SP_ID_SAN_DNS };

#define SP_IDENTITY_LINKS     4
#define SP_IDENTITY_NAME_MAX  512
#define SP_IDENTITIES_IDLE    4096
#define SP_IDENTITY_CHAIN_MAX 65536 /* bytes of DER that are kept */

/* One certificate of the verified chain, as revocation sees it (net/revoked.h). */
struct sp_chain_link {
    uint64_t issuer;  /* of the issuer's public key */
    uint8_t  key[16]; /* of the issuer's public key and the serial number */
};

/* What a verification found out about a chain. */
struct sp_chain {
    int64_t              valid_from, valid_until;  /* the narrowest of all its certificates, seconds since the epoch */
    unsigned             nlinks;                   /* 0 when the peer's certificate is itself an anchor */
    bool                 long_chain;               /* it has more than SP_IDENTITY_LINKS: verify in full each time */
    struct sp_chain_link links[SP_IDENTITY_LINKS]; /* from the leaf up, the anchor left out */
};

struct sp_identities;

struct sp_identity {
    uint32_t           refs;
    enum sp_credential credential;
    struct sp_str      name;                /* CN (or SAN) of the certificate; "anonymous" */
    uint64_t           hash;                /* of name: sp_hash */
    uint8_t            fingerprint[32];     /* SHA-256 of the certificate */
    struct sp_str      subject, serial_hex; /* for logs, escaped already */
    int64_t            not_after;           /* seconds since the epoch; 0: never ends */
    struct sp_str chain_der; /* what the peer sent, concatenated DER, leaf first: re-verified when a trust changes */
    uint64_t      verified_generation; /* snapshot under which the chain was last verified */
    bool          verified_ok;
    /* net/trust_verify.c's: what the verdict above rests on */
    uint8_t         verified_digest[32], verified_anchors[32];
    struct sp_chain chain;
    char           *why; /* the text of a refusal, malloc'd, or NULL */
    /* the table's */
    struct sp_identities *table; /* NULL: in none */
    struct sp_str         key;
    struct sp_identity   *idle_next, **idle_prev;
};

int sp_identities_create(struct sp_identities **out);
/* Identities that are still referenced live on without the table. */
void sp_identities_destroy(struct sp_identities *t);
/* A new reference to the known identity of a certificate; NULL when there is none. */
struct sp_identity *sp_identities_find(struct sp_identities *t, struct sp_str trust, enum sp_identity_from from,
                                       const uint8_t fingerprint[32]);
/* Enters a certificate that was verified; `chain_der` is copied. *out is a new reference. -EINVAL and a text when the certificate has
 * no usable name (none, several CNs, not UTF-8, control characters, "anonymous"), -ENOMEM. */
int sp_identities_add(struct sp_identities *t, struct sp_str trust, enum sp_identity_from from, X509 *leaf,
                      struct sp_str chain_der, struct sp_identity **out, char *why, size_t cap);
/* A new reference to the one that stands for peers without a credential. */
struct sp_identity *sp_identities_anonymous(struct sp_identities *t);
size_t              sp_identities_count(const struct sp_identities *t);

/* The name that a certificate gives its holder, into dst (not terminated); its length, or -EINVAL and a text. */
int sp_identity_name(X509 *leaf, enum sp_identity_from from, char *dst, size_t cap, char *why, size_t why_cap);

/* `subject="CN=drone" serial=4F21`: for logs, escaped. Returns dst. */
const char *sp_identity_describe(X509 *cert, char *dst, size_t cap);
/* RFC 2253 text of a name, escaped. Returns dst. */
const char *sp_identity_subject(const X509_NAME *name, char *dst, size_t cap);
/* Upper-case hex, "..." when it is longer than 32 bytes. */
const char *sp_identity_serial(const ASN1_INTEGER *serial, char *dst, size_t cap);
/* Seconds since the epoch; INT64_MAX when the time cannot be read. */
int64_t sp_identity_time(const ASN1_TIME *t);

void sp_identity_unref(struct sp_identity *id);
static inline struct sp_identity *
sp_identity_ref(struct sp_identity *id)
{
    id->refs++;
    return id;
}

#endif
