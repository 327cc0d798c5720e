#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "net/revoked.h"
#include "net/trust.h"

static int64_t
now_s(void)
{
    return (int64_t)(sp_clock_wall_ms() / 1000);
}

/* "2026-11-20T08:00:00Z" */
static const char *
date(char dst[32], int64_t seconds)
{
    if (seconds < 0 || seconds > INT64_C(253402300799)) { /* the year 9999 */
        return "unknown";
    }
    (void)sp_clock_rfc3339(dst, (uint64_t)seconds * 1000u);
    memcpy(dst + 19, "Z", 2);
    return dst;
}

/* -- the text of a refusal -- */

/* When the certificate was revoked, and when the CRL that says so (or does not count any more) ends; -1: unknown. */
static void
revocation_dates(const struct sp_trust *t, X509_STORE_CTX *x, X509 *cert, int64_t *revoked, int64_t *next_update)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(x);
    X509                           *issuer = sk_X509_value(chain, X509_STORE_CTX_get_error_depth(x) + 1);
    const struct sp_revoked_issuer *list;
    struct sp_chain_link            link;

    *revoked = *next_update = -1;
    if (issuer == NULL && X509_self_signed(cert, 0) == 1) {
        issuer = cert;
    }
    if (issuer != NULL && sp_revoked_link(issuer, X509_get0_serialNumber(cert), &link)) {
        (void)sp_revoked_find(t->revoked, &link, revoked);
        list = sp_revoked_issuer_find(t->revoked, link.issuer);
        *next_update = list == NULL ? -1 : list->next_update;
    }
}

static void
explain(const struct sp_trust *t, X509_STORE_CTX *x, X509 *leaf, char *why, size_t cap)
{
    int         error = X509_STORE_CTX_get_error(x);
    X509       *cert = X509_STORE_CTX_get_current_cert(x);
    int64_t     revoked, next_update;
    char        who[640], issuer[512], when[32];
    const char *label = "certificate";

    if (cert == NULL) {
        cert = leaf;
    }
    if (X509_cmp(cert, leaf) != 0) {
        label = "issuing certificate";
    }
    (void)sp_identity_describe(cert, who, sizeof(who));
    revocation_dates(t, x, cert, &revoked, &next_update);
    switch (error) {
    case X509_V_ERR_CERT_REVOKED:
        (void)snprintf(why, cap, "%s revoked: %s revoked=%s", label, who, date(when, revoked));
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        (void)snprintf(why, cap, "%s expired: %s not_after=%s", label, who,
                       date(when, sp_identity_time(X509_get0_notAfter(cert))));
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        (void)snprintf(why, cap, "%s not yet valid: %s not_before=%s", label, who,
                       date(when, sp_identity_time(X509_get0_notBefore(cert))));
        return;
    case X509_V_ERR_CRL_HAS_EXPIRED:
        (void)snprintf(why, cap, "CRL expired: %s next_update=%s; a newer one is needed, or crl_stale", who,
                       date(when, next_update));
        return;
    default:
        break;
    }
    (void)sp_identity_subject(X509_get_issuer_name(cert), issuer, sizeof(issuer));
    (void)snprintf(why, cap, "%s not accepted: %s: %s issuer=\"%s\"", label, X509_verify_cert_error_string(error), who,
                   issuer);
}

/* -- in full -- */

static bool
grace_left(const struct sp_trust *t, int64_t next_update)
{
    int64_t until;

    return __builtin_add_overflow(next_update, t->crl_grace_s, &until) || now_s() <= until;
}

/* crl_stale: a CRL past its date may still count for a while. */
static int
on_verify(int ok, X509_STORE_CTX *x)
{
    const struct sp_trust *t = X509_STORE_CTX_get_app_data(x);
    X509_CRL              *crl = X509_STORE_CTX_get0_current_crl(x);

    if (!ok && X509_STORE_CTX_get_error(x) == X509_V_ERR_CRL_HAS_EXPIRED && crl != NULL &&
        grace_left(t, sp_identity_time(X509_CRL_get0_nextUpdate(crl)))) {
        X509_STORE_CTX_set_error(x, X509_V_OK);
        return 1;
    }
    return ok;
}

static bool
chain_info(STACK_OF(X509) * chain, struct sp_chain *info)
{
    int n = sk_X509_num(chain);

    *info = (struct sp_chain){.valid_from = INT64_MIN, .valid_until = INT64_MAX};
    for (int i = 0; i < n; i++) {
        X509   *x = sk_X509_value(chain, i);
        int64_t from = sp_identity_time(X509_get0_notBefore(x)), until = sp_identity_time(X509_get0_notAfter(x));
        info->valid_from = from > info->valid_from ? from : info->valid_from;
        info->valid_until = until < info->valid_until ? until : info->valid_until;
        if (i + 1 == n) {
            break;
        }
        if (info->nlinks == SP_IDENTITY_LINKS) {
            info->long_chain = true;
        } else if (!sp_revoked_link(sk_X509_value(chain, i + 1), X509_get0_serialNumber(x),
                                    &info->links[info->nlinks++])) {
            return false;
        }
    }
    return true;
}

int
sp_trust_verify(struct sp_trust *t, X509 *leaf, STACK_OF(X509) * untrusted, struct sp_chain *info, int *error,
                char *why, size_t cap)
{
    X509_STORE_CTX *x = X509_STORE_CTX_new();
    int             err = -EACCES;

    *error = X509_V_ERR_UNSPECIFIED;
    (void)snprintf(why, cap, "certificate cannot be verified");
    if (x == NULL || X509_STORE_CTX_init(x, t->store, leaf, untrusted) != 1 ||
        X509_STORE_CTX_set_default(x, "ssl_client") != 1 || X509_STORE_CTX_set_app_data(x, t) != 1) {
        goto done;
    }
    X509_STORE_CTX_set_verify_cb(x, on_verify);
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(x), SSL_CTX_get_security_level(t->ctx));
    if (X509_verify_cert(x) != 1) {
        *error = X509_STORE_CTX_get_error(x);
        *error = *error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : *error;
        explain(t, x, leaf, why, cap);
    } else if (chain_info(X509_STORE_CTX_get0_chain(x), info)) {
        *error = X509_V_OK;
        why[0] = '\0';
        err = 0;
    }
done:
    X509_STORE_CTX_free(x);
    ERR_clear_error();
    return err;
}

void
sp_trust_verified(struct sp_trust *t, struct sp_identity *id, const struct sp_chain *info)
{
    free(id->why);
    id->why = NULL;
    id->chain = *info;
    id->verified_ok = true;
    id->verified_generation = t->generation;
    memcpy(id->verified_digest, t->digest, 32);
    memcpy(id->verified_anchors, t->anchors, 32);
}

/* -- chains in DER -- */

static int
parse_chain(struct sp_str der, X509 **leaf, STACK_OF(X509) * *rest)
{
    const uint8_t *at = (const uint8_t *)der.p, *end = at + der.n;

    *leaf = NULL;
    *rest = sk_X509_new_null();
    while (*rest != NULL && at < end) {
        X509 *x = d2i_X509(NULL, &at, (long)(end - at));
        if (x == NULL) {
            break;
        }
        if (*leaf == NULL) {
            *leaf = x;
        } else if (sk_X509_push(*rest, x) <= 0) {
            X509_free(x);
            break;
        }
    }
    if (*rest != NULL && *leaf != NULL && at == end) {
        return 0;
    }
    X509_free(*leaf);
    sk_X509_pop_free(*rest, X509_free);
    ERR_clear_error();
    return -EBADMSG;
}

int
sp_trust_identity(struct sp_trust *t, struct sp_identities *ids, enum sp_identity_from from, struct sp_str chain_der,
                  struct sp_identity **out, char *why, size_t cap)
{
    const uint8_t  *at = (const uint8_t *)chain_der.p;
    uint8_t         fingerprint[32];
    struct sp_chain info;
    STACK_OF(X509) * rest;
    X509 *leaf;
    long  n = 0;
    int   tag, class, error, err;

    /* The leaf's bytes are the first element: its fingerprint without parsing it. */
    if (chain_der.n > INT32_MAX || (ASN1_get_object(&at, &n, &tag, &class, (long)chain_der.n) & 0x80) != 0 ||
        EVP_Digest(chain_der.p, (size_t)(at - (const uint8_t *)chain_der.p) + (size_t)n, fingerprint, NULL,
                   EVP_sha256(), NULL) != 1) {
        (void)snprintf(why, cap, "the session's certificate cannot be read");
        return -EBADMSG;
    }
    *out = sp_identities_find(ids, t->name, from, fingerprint);
    if (*out != NULL) {
        return 0;
    }
    err = parse_chain(chain_der, &leaf, &rest);
    if (err < 0) {
        (void)snprintf(why, cap, "the session's certificate cannot be read");
        return err;
    }
    err = sp_trust_verify(t, leaf, rest, &info, &error, why, cap);
    if (err == 0) {
        err = sp_identities_add(ids, t->name, from, leaf, chain_der, out, why, cap);
    }
    if (err == 0) {
        sp_trust_verified(t, *out, &info);
    }
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
    return err;
}

/* -- again -- */

static int
refuse(struct sp_identity *id, char *why, size_t cap, const char *what, const char *label, int64_t when)
{
    char text[32];

    (void)snprintf(why, cap, "%s: subject=\"%s\" serial=%s %s=%s", what, id->subject.p, id->serial_hex.p, label,
                   date(text, when));
    return -EACCES;
}

/* What the CRLs of this trust say of a chain whose signatures are known to be good. */
static int
check_revocation(const struct sp_trust *t, struct sp_identity *id, char *why, size_t cap)
{
    for (unsigned i = 0; t->has_crl && i < id->chain.nlinks; i++) {
        const struct sp_chain_link     *link = &id->chain.links[i];
        const struct sp_revoked_issuer *issuer;
        int64_t                         when = -1;

        if (sp_revoked_find(t->revoked, link, &when)) {
            return refuse(id, why, cap, i == 0 ? "certificate revoked" : "issuing certificate revoked", "revoked",
                          when);
        }
        if (i > 0 && !t->crl_all) {
            break;
        }
        issuer = sp_revoked_issuer_find(t->revoked, link->issuer);
        if (issuer == NULL) {
            (void)snprintf(why, cap, "certificate not accepted: no CRL of its issuer: subject=\"%s\" serial=%s",
                           id->subject.p, id->serial_hex.p);
            return -EACCES;
        }
        if (issuer->next_update != INT64_MAX && !grace_left(t, issuer->next_update)) {
            return refuse(id, why, cap, "CRL expired", "next_update", issuer->next_update);
        }
    }
    return 0;
}

static int
verify_again(struct sp_trust *t, struct sp_identity *id, char *why, size_t cap)
{
    struct sp_chain info;
    STACK_OF(X509) * rest;
    X509 *leaf;
    int   error, err = parse_chain(id->chain_der, &leaf, &rest);

    if (err < 0) {
        (void)snprintf(why, cap, "the saved certificate cannot be read: subject=\"%s\" serial=%s", id->subject.p,
                       id->serial_hex.p);
        return err;
    }
    err = sp_trust_verify(t, leaf, rest, &info, &error, why, cap);
    if (err == 0) {
        sp_trust_verified(t, id, &info);
    }
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
    return err;
}

static int
remember_refusal(struct sp_trust *t, struct sp_identity *id, int err, const char *why)
{
    free(id->why);
    id->why = strdup(why);
    id->verified_ok = false;
    id->verified_generation = t->generation;
    memcpy(id->verified_digest, t->digest, 32);
    memset(id->verified_anchors, 0, 32); /* the next trust asks in full */
    return err;
}

int
sp_trust_check(struct sp_trust *t, struct sp_identity *id, char *why, size_t cap)
{
    bool same = memcmp(id->verified_digest, t->digest, 32) == 0;
    int  err;

    if (id->credential == SP_CRED_NONE) {
        return 0;
    }
    if (id->not_after != 0 && now_s() > id->not_after) {
        return refuse(id, why, cap, "certificate expired", "not_after", id->not_after);
    }
    if (same && !id->verified_ok && id->why != NULL) {
        (void)snprintf(why, cap, "%s", id->why);
        return -EACCES;
    }
    if (memcmp(id->verified_anchors, t->anchors, 32) != 0 || (!same && id->chain.long_chain) ||
        now_s() < id->chain.valid_from || now_s() > id->chain.valid_until) {
        err = verify_again(t, id, why, cap);
        return err == 0 ? 0 : remember_refusal(t, id, err, why);
    }
    err = check_revocation(t, id, why, cap);
    if (err < 0) {
        return err; /* cheap to ask again */
    }
    id->verified_ok = true;
    id->verified_generation = t->generation;
    memcpy(id->verified_digest, t->digest, 32);
    return 0;
}

/* -- in a handshake -- */

static size_t
chain_to_der(X509 *leaf, STACK_OF(X509) * untrusted, uint8_t **out)
{
    uint8_t *der = NULL, *at;
    int      n = i2d_X509(leaf, NULL);
    size_t   total = n > 0 ? (size_t)n : 0;

    for (int i = 0; i < sk_X509_num(untrusted); i++) {
        X509 *x = sk_X509_value(untrusted, i);
        n = X509_cmp(x, leaf) == 0 || X509_self_signed(x, 0) == 1
                ? 0
                : i2d_X509(x, NULL); /* a root that is sent along says nothing */
        total += n > 0 ? (size_t)n : 0;
    }
    if (total == 0 || total > SP_IDENTITY_CHAIN_MAX || (der = malloc(total)) == NULL) {
        return 0;
    }
    at = der;
    (void)i2d_X509(leaf, &at);
    for (int i = 0; i < sk_X509_num(untrusted); i++) {
        X509 *x = sk_X509_value(untrusted, i);
        if (X509_cmp(x, leaf) != 0 && X509_self_signed(x, 0) != 1) {
            (void)i2d_X509(x, &at);
        }
    }
    *out = der;
    return (size_t)(at - der);
}

static int
verify_new(struct sp_trust *t, struct sp_handshake *h, X509 *leaf, STACK_OF(X509) * untrusted)
{
    struct sp_chain info;
    uint8_t        *der = NULL;
    size_t          n;
    int             error, err = sp_trust_verify(t, leaf, untrusted, &info, &error, h->why, sizeof(h->why));

    if (err < 0) {
        return error;
    }
    n = chain_to_der(leaf, untrusted, &der);
    if (n == 0) {
        (void)snprintf(h->why, sizeof(h->why), "certificate chain larger than %d bytes", SP_IDENTITY_CHAIN_MAX);
        return X509_V_ERR_CERT_CHAIN_TOO_LONG;
    }
    err = sp_identities_add(h->identities, t->name, h->from, leaf, (struct sp_str){(const char *)der, n}, &h->identity,
                            h->why, sizeof(h->why));
    free(der);
    if (err < 0) {
        return X509_V_ERR_APPLICATION_VERIFICATION;
    }
    sp_trust_verified(t, h->identity, &info);
    return X509_V_OK;
}

/* A certificate that this worker has verified before is looked up, not verified again: same bytes, same trust, dates and CRLs
 * checked. OpenSSL checks in any case that the peer has the key. */
int
sp_trust_verify_callback(X509_STORE_CTX *x, void *arg)
{
    struct sp_trust     *t = arg;
    struct sp_handshake *h = t->handshake;
    X509                *leaf = X509_STORE_CTX_get0_cert(x);
    uint8_t              fingerprint[32];
    int                  error = X509_V_ERR_UNSPECIFIED;
    struct sp_identity  *known;

    if (h == NULL || leaf == NULL || X509_digest(leaf, EVP_sha256(), fingerprint, NULL) != 1) {
        X509_STORE_CTX_set_error(x, error);
        return 0;
    }
    sp_identity_unref(h->identity);
    h->identity = NULL;
    known = sp_identities_find(h->identities, t->name, h->from, fingerprint);
    if (known != NULL && sp_trust_check(t, known, h->why, sizeof(h->why)) == 0) {
        h->identity = known;
        h->why[0] = '\0';
        error = X509_V_OK;
    } else { /* also when it was refused: in full, for the alert that fits */
        sp_identity_unref(known);
        error = verify_new(t, h, leaf, X509_STORE_CTX_get0_untrusted(x));
    }
    X509_STORE_CTX_set_error(x, error);
    return error == X509_V_OK;
}
