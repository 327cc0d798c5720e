#include "net/ticket.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"

#define HOUR_S           3600
#define TICKET_CHAIN_MAX 16384 /* a larger chain would not fit a ClientHello in practice: no ticket then */

/* What a ticket holds beside OpenSSL's own fields: a version, the time, the chain. */
#define APPDATA_VERSION 1
#define APPDATA_HEADER  9

struct ticket_key {
    uint8_t name[16], aes[32], hmac[32];
    int64_t hour; /* 0: not made yet */
};

struct sp_ticket_keys {
    struct ticket_key      key[2]; /* even and odd hours */
    EVP_CIPHER            *cipher; /* fetched once: a fetch a ticket is dear */
    const struct sp_trust *trust;
};

static uint8_t ticket_secret[32];
static bool    ticket_secret_set;

void
sp_trust_ticket_secret(const uint8_t secret[32])
{
    memcpy(ticket_secret, secret, 32);
    ticket_secret_set = true;
}

static bool
derive(const struct sp_trust *t, int64_t hour, struct ticket_key *out)
{
    EVP_KDF     *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    uint8_t      bytes[80];
    char         info[64], digest[] = "SHA2-256";
    bool         done;
    OSSL_PARAM   params[5];

    if (!ticket_secret_set) { /* a process of its own (a test): nobody to agree with */
        sp_random(ticket_secret, sizeof(ticket_secret));
        ticket_secret_set = true;
    }
    (void)snprintf(info, sizeof(info), "sallyport ticket 1 %lld", (long long)hour);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, ticket_secret, sizeof(ticket_secret));
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)t->digest, sizeof(t->digest));
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, strlen(info));
    params[4] = OSSL_PARAM_construct_end();
    done = ctx != NULL && EVP_KDF_derive(ctx, bytes, sizeof(bytes), params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    if (done) {
        memcpy(out->name, bytes, 16);
        memcpy(out->aes, bytes + 16, 32);
        memcpy(out->hmac, bytes + 48, 32);
        out->hour = hour;
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return done;
}

static struct ticket_key *
key_of(struct sp_ticket_keys *k, int64_t hour)
{
    struct ticket_key *key = &k->key[hour & 1];

    return key->hour == hour || derive(k->trust, hour, key) ? key : NULL;
}

static int64_t
this_hour(void)
{
    return (int64_t)(sp_clock_wall_ms() / 1000) / HOUR_S;
}

static bool
set_hmac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char       digest[] = "SHA2-256";
    OSSL_PARAM params[3] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1: done; 0: no ticket (or not ours); -1: error. */
static int
ticket_key_callback(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                    int encrypt)
{
    struct sp_trust       *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct sp_ticket_keys *k = t == NULL ? NULL : t->ticket_keys;
    struct ticket_key     *key;
    int64_t                hour = this_hour();

    if (k == NULL || SSL_version(ssl) != TLS1_3_VERSION) {
        return 0;
    }
    if (encrypt) {
        key = key_of(k, hour);
        if (key == NULL) {
            return 0;
        }
        sp_random(iv, 16);
        memcpy(name, key->name, 16);
        return EVP_EncryptInit_ex2(cipher, k->cipher, key->aes, iv, NULL) == 1 && set_hmac(mac, key) ? 1 : -1;
    }
    for (int64_t h = hour; h > hour - 2; h--) {
        key = key_of(k, h);
        if (key != NULL && CRYPTO_memcmp(name, key->name, 16) == 0) {
            return EVP_DecryptInit_ex2(cipher, k->cipher, key->aes, iv, NULL) == 1 && set_hmac(mac, key) ? 1 : -1;
        }
    }
    return 0;
}

static bool
appdata_valid(SSL_SESSION *session, int64_t *started_s, struct sp_str *chain)
{
    void          *data = NULL;
    const uint8_t *p;
    size_t         n = 0;
    uint64_t       at = 0;

    if (SSL_SESSION_get0_ticket_appdata(session, &data, &n) != 1 || data == NULL || n < APPDATA_HEADER) {
        return false;
    }
    p = data;
    if (p[0] != APPDATA_VERSION) {
        return false;
    }
    for (int i = 0; i < 8; i++) {
        at = at << 8 | p[1 + i];
    }
    *started_s = (int64_t)at;
    *chain = (struct sp_str){(const char *)data + APPDATA_HEADER, n - APPDATA_HEADER};
    return true;
}

/* OpenSSL does not look at the age of a TLS 1.3 ticket unless there is early data: this does. */
static SSL_TICKET_RETURN
decrypted(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t n, SSL_TICKET_STATUS status, void *arg)
{
    const struct sp_trust *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    int64_t                now = (int64_t)(sp_clock_wall_ms() / 1000), started;
    struct sp_str          chain;

    (void)name;
    (void)n;
    (void)arg;
    if (t == NULL || !t->tickets || (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
        SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION || !appdata_valid(session, &started, &chain) ||
        started > now + 60 ||
        now - started >= t->session_lifetime_s) { /* the certificate's end: sp_trust_check, after it */
        return SSL_TICKET_RETURN_IGNORE;
    }
    return SSL_TICKET_RETURN_USE;
}

static void
free_cipher(void *arg)
{
    EVP_CIPHER_free(arg);
}

int
sp_ticket_setup(struct sp_trust *t, struct sp_arena *a)
{
    struct sp_ticket_keys *k = sp_arena_alloc(a, sizeof(*k)); /* wiped with the arena */

    k->trust = t;
    k->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (k->cipher == NULL) {
        return -ENOMEM;
    }
    sp_arena_defer(a, free_cipher, k->cipher);
    t->ticket_keys = k;
    SSL_CTX_set_num_tickets(t->ctx, 0); /* sp_ticket_issue sends the one */
    if (!t->tickets) {
        SSL_CTX_set_options(t->ctx, SSL_OP_NO_TICKET);
        return 0;
    }
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(t->ctx, ticket_key_callback) == 1 &&
                   SSL_CTX_set_session_ticket_cb(t->ctx, NULL, decrypted, NULL) == 1
               ? 0
               : -ENOMEM;
}

/* d2i into an existing session replaces all of it: the parsed certificate of the peer goes, which no setter could do. */
static void
drop_peer(SSL *ssl)
{
    SSL_SESSION         *live = SSL_get0_session(ssl), *blank = SSL_SESSION_new();
    const unsigned char *context, *at;
    unsigned char       *der = NULL;
    unsigned             n = 0;
    int                  bytes;

    if (live == NULL || blank == NULL) {
        SSL_SESSION_free(blank);
        return;
    }
    context = SSL_SESSION_get0_id_context(live, &n);
    if (SSL_SESSION_set_cipher(blank, SSL_SESSION_get0_cipher(live)) == 1 &&
        SSL_SESSION_set_protocol_version(blank, SSL_SESSION_get_protocol_version(live)) == 1 &&
        SSL_SESSION_set1_id_context(blank, context, n) == 1 && (bytes = i2d_SSL_SESSION(blank, &der)) > 0) {
        at = der;
        (void)d2i_SSL_SESSION(&live, &at, bytes);
    }
    OPENSSL_free(der);
    SSL_SESSION_free(blank);
}

/* RFC 6066 4: a negotiated record size lives in the session. */
static bool
has_fragment_length(const SSL_SESSION *session)
{
    uint8_t mode = SSL_SESSION_get_max_fragment_length(session);

    return mode >= TLSEXT_max_fragment_length_512 && mode <= TLSEXT_max_fragment_length_4096;
}

void
sp_ticket_slim(SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl); /* what came above the leaf */
    EVP_PKEY *share = NULL;
    X509     *x;

    while (chain != NULL && (x = sk_X509_pop(chain)) != NULL) {
        X509_free(x);
    }
    /* The peer's key share is kept for SSL_get_peer_tmp_key alone, and one of ML-KEM-768 takes 6 kB: a new type empties it. */
    if (SSL_get_peer_tmp_key(ssl, &share) == 1) {
        (void)EVP_PKEY_set_type(share, EVP_PKEY_X25519);
        EVP_PKEY_free(share);
    }
    /* Not in TLS 1.2, where the session holds the keys. */
    if (SSL_version(ssl) == TLS1_3_VERSION && !has_fragment_length(SSL_get0_session(ssl))) {
        drop_peer(ssl);
    }
    ERR_clear_error();
}

bool
sp_ticket_issue(SSL *ssl, const struct sp_identity *id, int64_t started_s, int64_t now_s)
{
    const struct sp_trust *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    SSL_SESSION           *session = SSL_get0_session(ssl);
    uint8_t                data[APPDATA_HEADER + TICKET_CHAIN_MAX];
    int64_t                left;

    if (t == NULL || !t->tickets || session == NULL || SSL_version(ssl) != TLS1_3_VERSION ||
        has_fragment_length(session) || id->chain_der.n > TICKET_CHAIN_MAX ||
        (id->credential != SP_CRED_NONE && id->chain_der.n == 0)) {
        return false;
    }
    left = t->session_lifetime_s - (now_s - started_s);
    if (id->not_after != 0 && id->not_after - now_s < left) {
        left = id->not_after - now_s;
    }
    if (left <= 0) {
        return false;
    }
    data[0] = APPDATA_VERSION;
    for (int i = 0; i < 8; i++) {
        data[1 + i] = (uint8_t)((uint64_t)started_s >> (56 - 8 * i));
    }
    if (id->chain_der.n > 0) {
        memcpy(data + APPDATA_HEADER, id->chain_der.p, id->chain_der.n);
    }
    return SSL_SESSION_set_timeout(session, (long)left) == 1 &&
           SSL_SESSION_set1_ticket_appdata(session, data, APPDATA_HEADER + id->chain_der.n) == 1 &&
           SSL_new_session_ticket(ssl) == 1;
}

void
sp_ticket_sent(SSL *ssl)
{
    SSL_SESSION *session = SSL_get0_session(ssl);

    if (session != NULL) {
        (void)SSL_SESSION_set1_ticket_appdata(session, NULL, 0);
    }
}

int
sp_ticket_read(SSL *ssl, int64_t *started_s, struct sp_str *chain_der)
{
    SSL_SESSION *session = SSL_get0_session(ssl);

    return session != NULL && appdata_valid(session, started_s, chain_der) ? 0 : -ENOENT;
}
