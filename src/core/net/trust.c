#include "net/trust.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/clock.h"
#include "conf/snapshot.h"
#include "conf/text.h"
#include "net/net_directives.h"
#include "net/revoked.h"
#include "net/ticket.h"
#include "net/trust_load.h"

#define GROUPS_DEFAULT   "X25519MLKEM768:X25519:P-256:P-384"
#define GROUPS_CLASSIC   "X25519:P-256:P-384"
#define CLIENT_CA_NAMES  32 /* more names than that only swell every handshake */
#define PEER_CHAIN_BYTES 65536

/* What one trust block is being built from. */
struct making {
    struct sp_build       *b;
    const struct sp_block *block;
    struct sp_trust       *t;
    STACK_OF(X509) * ca, *own;
    STACK_OF(X509_CRL) * crls;
    EVP_PKEY *key;
    bool      rooted; /* there is a root among the authorities */
    bool      failed;
};

struct sp_trust *
sp_trust_find(const struct sp_snapshot *s, struct sp_str name)
{
    struct sp_trust *t = s->trusts;

    while (t != NULL && !sp_str_eq(t->name, name)) {
        t = t->next;
    }
    return t;
}

static const struct sp_value *
value(const struct making *m, const char *directive)
{
    return sp_block_value(m->b->snapshot, m->block, directive);
}

/* The node of a directive that the block must have. */
static const struct sp_conf_node *
required(struct making *m, const char *directive)
{
    const struct sp_value *v = value(m, directive);
    char                   hint[64], shown[128];

    if (v != NULL && v->node != NULL) {
        return v->node;
    }
    (void)snprintf(hint, sizeof(hint), "expected `%s FILE;` in it", directive);
    (void)sp_build_error(m->b, m->block->node, 1, hint, "trust %s has no %s",
                         sp_word_quote(shown, sizeof(shown), m->t->name), directive);
    m->failed = true;
    return NULL;
}

static int64_t
wall_s(void)
{
    return (int64_t)(sp_clock_wall_ms() / 1000);
}

static void
warn_dates(struct making *m, const struct sp_conf_node *node, X509 *x, const char *hint)
{
    int64_t from = sp_identity_time(X509_get0_notBefore(x)), until = sp_identity_time(X509_get0_notAfter(x)),
            now = wall_s();
    char who[640], when[32];

    if (until < now) {
        sp_build_warn(m->b, node, 1, hint, "certificate expired on %.10s: %s",
                      sp_clock_rfc3339(when, (uint64_t)until * 1000), sp_identity_describe(x, who, sizeof(who)));
    } else if (from > now) {
        sp_build_warn(m->b, node, 1, hint, "certificate is not valid before %.19sZ: %s",
                      sp_clock_rfc3339(when, (uint64_t)from * 1000), sp_identity_describe(x, who, sizeof(who)));
    }
}

/* -- whom we believe -- */

static void
load_ca(struct making *m)
{
    const struct sp_value     *v = value(m, "ca");
    const struct sp_conf_node *node = v == NULL ? NULL : v->node;
    char                       who[640];

    if (node == NULL) {
        return; /* only listeners that ask for no certificate can use it: listener.c */
    }
    if (sp_load_certificates(m->b, node, 1, m->ca) < 0) {
        m->failed = true;
        return;
    }
    m->t->has_ca = true;
    for (int i = 0; i < sk_X509_num(m->ca); i++) {
        X509 *x = sk_X509_value(m->ca, i);
        warn_dates(m, node, x, "clients of this authority are refused");
        if (X509_check_ca(x) == 0) {
            sp_build_warn(m->b, node, 1, "expected the certificate of an authority",
                          "not an authority's certificate: %s", sp_identity_describe(x, who, sizeof(who)));
        }
        m->rooted = m->rooted || X509_self_signed(x, 0) == 1;
        (void)X509_STORE_add_cert(m->t->store, x); /* the same one twice is no error */
    }
    if (!m->rooted) { /* intermediate ones alone: then they are what is believed */
        (void)X509_STORE_set_flags(m->t->store, X509_V_FLAG_PARTIAL_CHAIN);
    }
    ERR_clear_error();
}

/* The certificate in `ca` whose key signed the CRL. */
static X509 *
crl_issuer(struct making *m, X509_CRL *crl, bool *named)
{
    *named = false;
    for (int i = 0; i < sk_X509_num(m->ca); i++) {
        X509 *x = sk_X509_value(m->ca, i);
        if (X509_NAME_cmp(X509_get_subject_name(x), X509_CRL_get_issuer(crl)) != 0) {
            continue;
        }
        *named = true;
        if (X509_CRL_verify(crl, X509_get0_pubkey(x)) == 1) {
            return x;
        }
    }
    ERR_clear_error();
    return NULL;
}

static void
crl_dates(struct making *m, const struct sp_conf_node *node, unsigned arg, X509_CRL *crl)
{
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    int64_t          until = next == NULL ? INT64_MAX : sp_identity_time(next), end;
    char             issuer[512], when[32];

    (void)sp_identity_subject(X509_CRL_get_issuer(crl), issuer, sizeof(issuer));
    if (sp_identity_time(X509_CRL_get0_lastUpdate(crl)) > wall_s()) {
        sp_build_warn(m->b, node, arg, "is the clock right? every client of it is refused until then",
                      "the CRL of \"%s\" lies in the future", issuer);
    }
    if (until == INT64_MAX) {
        return;
    }
    if (m->t->crl_next_update == 0 || until < m->t->crl_next_update) {
        m->t->crl_next_update = until;
    }
    if (until >= wall_s()) {
        return;
    }
    end = m->t->crl_grace_s;
    sp_build_warn(m->b, node, arg,
                  end == INT64_MAX ? "crl_stale allow: it counts on, but newer revocations are not in it"
                  : end > 0 && until + end >= wall_s()
                      ? "crl_stale grace: it counts on for now; a newer one is needed"
                      : "EVERY client of this authority is refused; a newer one is needed, or crl_stale",
                  "the CRL of \"%s\" expired on %.19sZ", issuer, sp_clock_rfc3339(when, (uint64_t)until * 1000));
}

static void
load_crl_file(struct making *m, const struct sp_conf_node *node, unsigned arg, STACK_OF(X509) * issuers)
{
    int  from = sk_X509_CRL_num(m->crls);
    char issuer[512];

    if (sp_load_crls(m->b, node, arg, m->crls) < 0) {
        m->failed = true;
        return;
    }
    for (int i = from; i < sk_X509_CRL_num(m->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(m->crls, i);
        bool      named;
        X509     *x = crl_issuer(m, crl, &named);
        if (x == NULL) {
            (void)sp_identity_subject(X509_CRL_get_issuer(crl), issuer, sizeof(issuer));
            (void)sp_build_error(m->b, node, arg,
                                 named ? "expected a CRL made with the key of the authority in `ca`"
                                       : "expected the certificate of its issuer in `ca`",
                                 named ? "the CRL of \"%s\" is not signed by that authority"
                                       : "the CRL of \"%s\" is of none of the authorities in `ca`",
                                 issuer);
            m->failed = true;
            return;
        }
        crl_dates(m, node, arg, crl);
        if (sk_X509_push(issuers, x) <= 0 || X509_STORE_add_crl(m->t->store, crl) != 1) {
            (void)sp_build_error(m->b, node, arg, NULL, "out of memory");
            m->failed = true;
            return;
        }
    }
}

static bool
is_among(STACK_OF(X509) * list, X509 *x)
{
    for (int i = 0; i < sk_X509_num(list); i++) {
        if (X509_cmp(sk_X509_value(list, i), x) == 0) {
            return true;
        }
    }
    return false;
}

static void
load_crls(struct making *m)
{
    STACK_OF(X509) *issuers = sk_X509_new_null(); /* borrowed */
    size_t     n;
    X509_CRL **crls;
    X509     **of;

    for (const struct sp_value *v = value(m, "crl"); v != NULL && v->node != NULL && !m->failed; v = v->next) {
        for (unsigned i = 1; i < v->node->nargs && !m->failed; i++) {
            load_crl_file(m, v->node, i, issuers);
        }
    }
    n = m->failed || issuers == NULL ? 0 : (size_t)sk_X509_CRL_num(m->crls);
    crls = sp_arena_array(m->b->arena, n + 1, sizeof(*crls));
    of = sp_arena_array(m->b->arena, n + 1, sizeof(*of));
    for (size_t i = 0; i < n; i++) {
        crls[i] = sk_X509_CRL_value(m->crls, (int)i);
        of[i] = sk_X509_value(issuers, (int)i);
    }
    if (sp_revoked_build(m->b->arena, crls, of, n, &m->t->revoked) < 0) {
        m->failed = true;
    }
    m->t->has_crl = n > 0;
    m->t->crl_all = n > 0 && m->rooted; /* without its root, nobody speaks for the topmost one */
    for (int i = 0; i < sk_X509_num(m->ca); i++) {
        m->t->crl_all = m->t->crl_all && is_among(issuers, sk_X509_value(m->ca, i));
    }
    if (n > 0) {
        (void)X509_STORE_set_flags(m->t->store,
                                   X509_V_FLAG_CRL_CHECK | (m->t->crl_all ? X509_V_FLAG_CRL_CHECK_ALL : 0));
    }
    sk_X509_free(issuers);
}

/* -- who we are -- */

static void
use_certificate(struct making *m, const struct sp_conf_node *cert, const struct sp_conf_node *key)
{
    X509 *leaf = sk_X509_shift(m->own);
    char  reason[128], who[640];

    warn_dates(m, cert, leaf, "peers will refuse it");
    if (X509_check_private_key(leaf, m->key) != 1) {
        ERR_clear_error();
        (void)sp_build_error(m->b, key, 1, "expected the key of that certificate",
                             "the key does not belong to the certificate: %s",
                             sp_identity_describe(leaf, who, sizeof(who)));
        sp_build_note(m->b, cert, 1, "the certificate");
        m->failed = true;
    } else if (SSL_CTX_use_cert_and_key(m->t->ctx, leaf, m->key, m->own, 1) != 1) {
        (void)sp_build_error(m->b, cert, 1, sp_load_reason(reason, sizeof(reason)),
                             "OpenSSL does not take this certificate and key: %s",
                             sp_identity_describe(leaf, who, sizeof(who)));
        m->failed = true;
    }
    X509_free(leaf);
}

static void
load_own(struct making *m)
{
    const struct sp_conf_node *cert = required(m, "certificate"), *key = required(m, "key");
    bool                       have = cert != NULL && key != NULL;

    if (cert != NULL && sp_load_certificates(m->b, cert, 1, m->own) < 0) {
        have = false;
    }
    if (key != NULL && sp_load_key(m->b, key, 1, &m->key) < 0) {
        have = false;
    }
    if (have) {
        use_certificate(m, cert, key);
    } else {
        m->failed = true;
    }
}

/* -- TLS -- */

static void
set_protocols(struct making *m)
{
    const struct sp_value     *v = value(m, "protocols");
    const struct sp_conf_node *node = v == NULL ? NULL : v->node;
    bool                       old = false, new = node == NULL;

    for (unsigned i = 1; node != NULL && i < node->nargs; i++) {
        struct sp_str s = node->args[i].text;
        char          shown[64];
        if (sp_str_is(s, "TLSv1.3")) {
            new = true;
        } else if (sp_str_is(s, "TLSv1.2")) {
            old = true;
        } else {
            (void)sp_build_error(m->b, node, i, "expected TLSv1.3 or TLSv1.2", "%s is not offered",
                                 sp_word_quote(shown, sizeof(shown), s));
            m->failed = true;
        }
    }
    (void)SSL_CTX_set_min_proto_version(m->t->ctx, old ? TLS1_2_VERSION : TLS1_3_VERSION);
    (void)SSL_CTX_set_max_proto_version(m->t->ctx, new ? TLS1_3_VERSION : TLS1_2_VERSION);
    (void)SSL_CTX_set_cipher_list(m->t->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
}

static void
set_groups(struct making *m)
{
    const struct sp_value     *v = value(m, "groups");
    const struct sp_conf_node *node = v == NULL ? NULL : v->node;
    struct sp_text             list = {0};
    char                       one[64], shown[64];

    if (node == NULL) { /* post-quantum first, where there is it */
        if (SSL_CTX_set1_groups_list(m->t->ctx, GROUPS_DEFAULT) != 1 &&
            SSL_CTX_set1_groups_list(m->t->ctx, GROUPS_CLASSIC) != 1) {
            (void)sp_build_error(m->b, m->block->node, 1, NULL, "this OpenSSL has none of the groups %s",
                                 GROUPS_CLASSIC);
            m->failed = true;
        }
        ERR_clear_error();
        return;
    }
    for (unsigned i = 1; i < node->nargs; i++) {
        struct sp_str s = node->args[i].text;
        (void)snprintf(one, sizeof(one), "%.*s", s.n < sizeof(one) ? (int)s.n : 0, s.p);
        if (strcspn(one, ":?*/- \t") == 0 || strpbrk(one, ":?*/") != NULL ||
            SSL_CTX_set1_groups_list(m->t->ctx, one) != 1) {
            (void)sp_build_error(m->b, node, i,
                                 "expected names such as X25519MLKEM768 (OpenSSL 3.5), X25519, P-256, P-384",
                                 "OpenSSL %s does not have the group %s", OpenSSL_version(OPENSSL_VERSION_STRING),
                                 sp_word_quote(shown, sizeof(shown), s));
            m->failed = true;
        }
        sp_text_printf(&list, "%s%s", i > 1 ? ":" : "", one);
    }
    if (!m->failed && SSL_CTX_set1_groups_list(m->t->ctx, sp_text_str(&list).p) != 1) {
        (void)sp_build_error(m->b, node, 1, "is one of them named twice?", "OpenSSL does not take this list of groups");
        m->failed = true;
    }
    sp_text_free(&list);
    ERR_clear_error();
}

static void
set_ciphersuites(struct making *m)
{
    static const char *const   known[] = {"TLS_AES_128_GCM_SHA256",       "TLS_AES_256_GCM_SHA384",
                                          "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
                                          "TLS_AES_128_CCM_8_SHA256",     NULL};
    const struct sp_value     *v = value(m, "ciphersuites");
    const struct sp_conf_node *node = v == NULL ? NULL : v->node;
    struct sp_text             list = {0};

    if (node == NULL) {
        return;
    }
    for (unsigned i = 1; i < node->nargs; i++) {
        struct sp_str      s = node->args[i].text;
        const char *const *k = known;
        const char        *near;
        char               shown[64], hint[128];
        while (*k != NULL && !sp_str_is(s, *k)) {
            k++;
        }
        if (*k == NULL) {
            near = sp_suggest(s, known);
            (void)snprintf(hint, sizeof(hint), "expected a suite of TLS 1.3%s%s%s",
                           near == NULL ? " such as TLS_AES_256_GCM_SHA384" : "; did you mean \"",
                           near == NULL ? "" : near, near == NULL ? "" : "\"?");
            (void)sp_build_error(m->b, node, i, hint, "%s is no suite of TLS 1.3",
                                 sp_word_quote(shown, sizeof(shown), s));
            m->failed = true;
        } else {
            sp_text_printf(&list, "%s%s", i > 1 ? ":" : "", *k);
        }
    }
    if (!m->failed && SSL_CTX_set_ciphersuites(m->t->ctx, sp_text_str(&list).p) != 1) {
        (void)sp_build_error(m->b, node, 1, NULL, "OpenSSL does not take this list of suites");
        m->failed = true;
    }
    sp_text_free(&list);
    ERR_clear_error();
}

static void
set_client_names(struct making *m)
{
    for (int i = 0; i < sk_X509_num(m->ca) && i < CLIENT_CA_NAMES; i++) {
        (void)SSL_CTX_add_client_CA(m->t->ctx, sk_X509_value(m->ca, i));
    }
}

static void
set_context(struct making *m)
{
    SSL_CTX *c = m->t->ctx;

    (void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    (void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(c, PEER_CHAIN_BYTES);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(c, sp_trust_verify_callback, m->t);
    SSL_CTX_set_app_data(c, m->t);
    X509_STORE_set_depth(m->t->store, (int)sp_block_num(m->b->snapshot, m->block, "verify_depth"));
    set_protocols(m);
    set_groups(m);
    set_ciphersuites(m);
    set_client_names(m);
    if (sp_ticket_setup(m->t, m->b->arena) < 0) {
        (void)sp_build_error(m->b, m->block->node, 0, NULL, "OpenSSL cannot make session tickets");
        m->failed = true;
    }
}

/* -- digests -- */

static void
digest_int(EVP_MD_CTX *md, int64_t n)
{
    (void)EVP_DigestUpdate(md, &n, sizeof(n));
}

static void
make_digests(struct making *m)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t    *der;
    int         n;

    if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        m->failed = true;
        EVP_MD_CTX_free(md);
        return;
    }
    digest_int(md, sp_block_num(m->b->snapshot, m->block, "verify_depth"));
    for (int i = 0; i < sk_X509_num(m->ca); i++) {
        der = NULL;
        n = i2d_X509(sk_X509_value(m->ca, i), &der);
        (void)EVP_DigestUpdate(md, der, n > 0 ? (size_t)n : 0);
        OPENSSL_free(der);
    }
    (void)EVP_DigestFinal_ex(md, m->t->anchors, NULL);
    (void)EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    (void)EVP_DigestUpdate(md, m->t->anchors, 32);
    digest_int(md, m->t->crl_grace_s);
    for (int i = 0; i < sk_X509_CRL_num(m->crls); i++) {
        der = NULL;
        n = i2d_X509_CRL(sk_X509_CRL_value(m->crls, i), &der);
        (void)EVP_DigestUpdate(md, der, n > 0 ? (size_t)n : 0);
        OPENSSL_free(der);
    }
    (void)EVP_DigestFinal_ex(md, m->t->digest, NULL);
    EVP_MD_CTX_free(md);
}

/* -- all of it -- */

static void
free_trust(void *arg)
{
    struct sp_trust *t = arg;

    if (t->ctx != NULL) {
        SSL_CTX_set_app_data(t->ctx, NULL); /* connections may hold the context longer */
        SSL_CTX_set_cert_verify_callback(t->ctx, NULL, NULL);
    }
    SSL_CTX_free(t->ctx);
    X509_STORE_free(t->store);
}

static struct sp_trust *
build_one(struct sp_build *b, const struct sp_block *block)
{
    struct making m = {.b = b, .block = block, .t = sp_arena_alloc(b->arena, sizeof(struct sp_trust))};

    m.t->block = block;
    m.t->name = sp_arena_str(b->arena, block->node->args[1].text);
    m.t->generation = b->snapshot->generation;
    m.t->crl_grace_s = sp_block_num(b->snapshot, block, "crl_stale");
    m.t->tickets = sp_block_num(b->snapshot, block, "session_tickets") == 1;
    m.t->session_lifetime_s = sp_block_num(b->snapshot, block, "session_lifetime") / 1000;
    m.t->ctx = SSL_CTX_new(TLS_server_method());
    m.t->store = X509_STORE_new();
    sp_arena_defer(b->arena, free_trust, m.t);
    m.ca = sk_X509_new_null();
    m.own = sk_X509_new_null();
    m.crls = sk_X509_CRL_new_null();
    if (m.t->ctx == NULL || m.t->store == NULL || m.ca == NULL || m.own == NULL || m.crls == NULL) {
        (void)sp_build_error(b, block->node, 0, NULL, "OpenSSL cannot make a TLS context: out of memory?");
        m.failed = true;
    } else {
        load_ca(&m);
        if (!m.failed) {
            load_crls(&m);
        }
        load_own(&m);
        set_context(&m);
        make_digests(&m);
    }
    sk_X509_pop_free(m.ca, X509_free);
    sk_X509_pop_free(m.own, X509_free);
    sk_X509_CRL_pop_free(m.crls, X509_CRL_free);
    EVP_PKEY_free(m.key);
    ERR_clear_error();
    return m.failed ? NULL : m.t;
}

int
sp_trust_build(struct sp_build *b)
{
    struct sp_trust **end = &b->snapshot->trusts;
    int               err = 0;

    for (const struct sp_block *block = sp_block_first(b->snapshot->main, "trust"); block != NULL;
         block = sp_block_next(block)) {
        struct sp_str    name = block->node->args[1].text;
        struct sp_trust *t;
        if (name.n == 0 || name.n > 255) {
            err = sp_build_error(b, block->node, 1, "expected a name of 1 to 255 bytes", "a trust needs a name");
            continue;
        }
        t = build_one(b, block);
        if (t == NULL) {
            err = -EINVAL;
            continue;
        }
        *end = t;
        end = &t->next;
    }
    return err;
}
