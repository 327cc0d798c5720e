/*
 * A trust: a named credential set (CA, certificate, key, CRL), built into an SSL_CTX and an X509_STORE once per snapshot.
 * The one place where TLS is configured and chains are verified.
 *
 *   trust NAME { ca FILE; certificate FILE; key FILE; crl FILE …; protocols TLSv1.3 [TLSv1.2]; groups LIST; ciphersuites LIST;
 *                verify_depth N; session_tickets on|off; session_lifetime TIME; crl_stale deny|allow|grace=TIME; }
 */
#ifndef SP_NET_TRUST_H
#define SP_NET_TRUST_H

#include <openssl/ssl.h>

#include "conf/build.h"
#include "net/identity.h"

enum sp_client_cert { SP_CLIENT_CERT_REQUIRED, SP_CLIENT_CERT_OPTIONAL, SP_CLIENT_CERT_OFF };

struct sp_trust {
    struct sp_trust       *next;
    const struct sp_block *block;
    struct sp_str          name;
    uint8_t                digest[32]; /* over CA, CRL, verification options: equal means that verdicts stay */
    SSL_CTX               *ctx;        /* client certificate required; per-listener variations are set on the SSL */
    struct sp_revoked     *revoked;    /* serials of the CRLs, for the look-up after every handshake and on reload */
    X509_STORE            *store;
    int64_t                crl_next_update; /* earliest; 0: no CRL */
    int64_t                session_lifetime_s;
    uint8_t  anchors[32]; /* over CA and depth: equal means that signatures stay, and only revocation is looked at */
    bool     has_ca, has_crl, crl_all; /* crl_all: every issuer has a CRL, so the whole chain is checked */
    bool     tickets;
    int64_t  crl_grace_s; /* after nextUpdate: 0 deny at once, INT64_MAX allow */
    uint64_t generation;
    struct sp_ticket_keys *ticket_keys; /* net/ticket.h */
    struct sp_handshake   *handshake;   /* the one that this worker is in right now; NULL outside of it */
};

/* What the verification of a handshake needs and gives (SSL_CTX callbacks know only the trust). */
struct sp_handshake {
    struct sp_identities *identities;
    enum sp_identity_from from;
    struct sp_identity   *identity;  /* out: a reference; NULL when the peer sent no certificate */
    char                  why[1024]; /* out: why it was refused; "" when it was not */
};

/* crl_stale: u.num of its value is the grace in seconds. */
extern const struct sp_type sp_type_crl_stale;

extern const struct sp_directive sp_net_directives[];
extern const size_t              sp_net_ndirectives;

/* Called by the core's build after the schema pass: builds every trust and listener of the snapshot; diagnostics name file
 * and line (unreadable, empty, no certificate in it, key does not match, expired certificate = warning …). */
int sp_net_build(struct sp_build *b);

/* By name; NULL if none. */
struct sp_trust *sp_trust_find(const struct sp_snapshot *s, struct sp_str name);

/* The verdict on a chain under this trust, now: 0, or a negative errno and a text for the log that names subject, serial and
 * date ("certificate revoked: CN=drone serial 4F… on 2026-11-20"). Used after every handshake, resumed or not (a
 * ticket does not outlive a revocation), and for live sessions after a reload. Remembers the answer in the identity. */
int sp_trust_check(struct sp_trust *t, struct sp_identity *id, char *why, size_t cap);

/* Verifies a chain as a client's, CRLs included. 0 and *info, or -EACCES, OpenSSL's X509_V_ERR_* in *error and a text. */
int sp_trust_verify(struct sp_trust *t, X509 *leaf, STACK_OF(X509) * untrusted, struct sp_chain *info, int *error,
                    char *why, size_t cap);
/* The verdict of sp_trust_verify was ok: kept in the identity. */
void sp_trust_verified(struct sp_trust *t, struct sp_identity *id, const struct sp_chain *info);
/* The identity of a chain in DER that was verified once (a ticket's), verified again if it is not known. 0 and a reference. */
int sp_trust_identity(struct sp_trust *t, struct sp_identities *ids, enum sp_identity_from from,
                      struct sp_str chain_der, struct sp_identity **out, char *why, size_t cap);
/* SSL_CTX_set_cert_verify_callback: arg is the trust; works on t->handshake. */
int sp_trust_verify_callback(X509_STORE_CTX *x, void *arg);

/* The master's secret for session tickets, set in every process before the first build; ticket keys are derived from it,
 * the trust's digest and the hour, so all workers agree and a changed CA or CRL changes them. 32 bytes, copied. */
void sp_trust_ticket_secret(const uint8_t secret[32]);

#endif
