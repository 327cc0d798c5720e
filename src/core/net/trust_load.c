#include "net/trust_load.h"

#include <errno.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "conf/text.h"

enum wanted { CERTIFICATES, KEY, CRLS };

/* Where a reading of one file stands. */
struct load {
    struct sp_build           *b;
    const struct sp_conf_node *node;
    unsigned                   arg;
    enum wanted                wanted;
    STACK_OF(X509) * certificates;
    STACK_OF(X509_CRL) * crls;
    EVP_PKEY *key;
    unsigned  found;
    unsigned  line; /* of the block that is looked at */
};

static const char *const wanted_names[] = {"certificate", "private key", "CRL"};

const char *
sp_load_reason(char *dst, size_t cap)
{
    unsigned long e = ERR_peek_last_error();
    const char   *text = e == 0 ? NULL : ERR_reason_error_string(e);

    (void)snprintf(dst, cap, "%s", text == NULL ? "not readable" : text);
    ERR_clear_error();
    return dst;
}

static int
fail(struct load *l, const char *hint, const char *what)
{
    char shown[256];

    return sp_build_error(l->b, l->node, l->arg, hint, "%s: %s",
                          sp_word_quote(shown, sizeof(shown), l->node->args[l->arg].text), what);
}

static int
fail_block(struct load *l, const char *hint, const char *what, const char *label)
{
    char text[320];

    (void)snprintf(text, sizeof(text), "%s (%s in line %u)", what, label, l->line);
    return fail(l, hint, text);
}

static int
add_certificate(struct load *l, const uint8_t *der, long n, const char *label)
{
    const uint8_t *at = der;
    X509          *x = d2i_X509(NULL, &at, n);
    char           reason[128];

    if (x == NULL || at != der + n) {
        X509_free(x);
        return fail_block(l, sp_load_reason(reason, sizeof(reason)), "not a certificate", label);
    }
    if (X509_get0_pubkey(x) == NULL) {
        X509_free(x);
        return fail_block(l, sp_load_reason(reason, sizeof(reason)),
                          "this OpenSSL does not know the algorithm of the certificate's key", label);
    }
    if (sk_X509_push(l->certificates, x) <= 0) {
        X509_free(x);
        return fail(l, NULL, "out of memory");
    }
    l->found++;
    return 0;
}

/* X509_STORE_add_crl silently drops a second CRL that was made in memory: these come from DER, as they must. */
static int
add_crl(struct load *l, const uint8_t *der, long n, const char *label)
{
    const uint8_t *at = der;
    X509_CRL      *x = d2i_X509_CRL(NULL, &at, n);
    char           reason[128];

    if (x == NULL || at != der + n) {
        X509_CRL_free(x);
        return fail_block(l, sp_load_reason(reason, sizeof(reason)), "not a CRL", label);
    }
    if (sk_X509_CRL_push(l->crls, x) <= 0) {
        X509_CRL_free(x);
        return fail(l, NULL, "out of memory");
    }
    l->found++;
    return 0;
}

static int
no_password(char *buf, int size, int rw, void *arg)
{
    (void)buf;
    (void)size;
    (void)rw;
    *(bool *)arg = true; /* never ask at a terminal */
    return -1;
}

static int
decode_key(struct load *l, const void *bytes, size_t n, const char *format, const char *label)
{
    OSSL_DECODER_CTX *d;
    const uint8_t    *at = bytes;
    EVP_PKEY         *key = NULL;
    bool              encrypted = false;
    char              reason[128];

    if (l->found > 0) {
        return fail_block(l, "expected one", "more than one private key", label);
    }
    d = OSSL_DECODER_CTX_new_for_pkey(&key, format, NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
    if (d != NULL && OSSL_DECODER_CTX_set_pem_password_cb(d, no_password, &encrypted) == 1 &&
        OSSL_DECODER_from_data(d, &at, &n) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    OSSL_DECODER_CTX_free(d);
    if (encrypted) {
        EVP_PKEY_free(key);
        ERR_clear_error();
        return fail_block(l, "expected a key without a passphrase: openssl pkey -in KEY -out KEY.plain",
                          "encrypted private key", label);
    }
    if (key == NULL) {
        return fail_block(l, sp_load_reason(reason, sizeof(reason)), "not a private key that this OpenSSL can use",
                          label);
    }
    ERR_clear_error();
    l->key = key;
    l->found++;
    return 0;
}

static bool
is_one_of(struct sp_str label, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (sp_str_is(label, *list)) {
            return true;
        }
    }
    return false;
}

static bool
ends_with(struct sp_str s, const char *end)
{
    struct sp_str e = sp_str_c(end);

    return s.n >= e.n && memcmp(s.p + s.n - e.n, e.p, e.n) == 0;
}

/* A whole block, BEGIN and END lines included. */
static int
take_block(struct load *l, struct sp_str label, struct sp_str block)
{
    static const char *const certificates[] = {"CERTIFICATE", "X509 CERTIFICATE", NULL};
    char                     shown[64], *name = NULL, *header = NULL, reason[128];
    uint8_t                 *der = NULL;
    long                     n = 0;
    bool                     is_cert = is_one_of(label, certificates), is_crl = sp_str_is(label, "X509 CRL");
    bool                     is_key = ends_with(label, "PRIVATE KEY");
    BIO                     *bio;
    int                      err;

    (void)sp_str_escape(shown, sizeof(shown), label);
    if (l->wanted == KEY && is_key) {
        return decode_key(l, block.p, block.n, "PEM", shown);
    }
    if (is_key && l->wanted != CERTIFICATES) {
        return fail_block(l, "a private key belongs into a file of its own", "unexpected private key", shown);
    }
    if ((l->wanted == CERTIFICATES && is_crl) || (l->wanted == CRLS && is_cert)) {
        return fail_block(
            l, is_crl ? "expected certificates; name CRLs with crl" : "expected CRLs; name certificates with ca",
            "unexpected block", shown);
    }
    if (!(l->wanted == CERTIFICATES && is_cert) && !(l->wanted == CRLS && is_crl)) {
        return 0; /* parameters, or the other half of a file that holds key and certificate */
    }
    bio = block.n > INT32_MAX ? NULL : BIO_new_mem_buf(block.p, (int)block.n);
    if (bio == NULL || PEM_read_bio(bio, &name, &header, &der, &n) != 1) {
        err = fail_block(l, sp_load_reason(reason, sizeof(reason)), "damaged block", shown);
    } else {
        err = l->wanted == CRLS ? add_crl(l, der, n, shown) : add_certificate(l, der, n, shown);
    }
    BIO_free(bio);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return err;
}

/* -- PEM: found here, decoded by OpenSSL -- */

static const char *
find(struct sp_str in, const char *what)
{
    return in.n == 0 ? NULL : memmem(in.p, in.n, what, strlen(what));
}

static struct sp_str
after(struct sp_str s, const char *at)
{
    return (struct sp_str){at, s.n - (size_t)(at - s.p)};
}

static bool
blank(struct sp_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (memchr(" \t\r\n", s.p[i], 4) == NULL) {
            return false;
        }
    }
    return true;
}

static unsigned
lines(const char *from, const char *to)
{
    unsigned n = 0;

    for (; from < to; from++) {
        n += *from == '\n';
    }
    return n;
}

static int
load_pem(struct load *l, struct sp_str bytes)
{
    struct sp_str rest = bytes;
    const char   *begin;

    while ((begin = find(rest, "-----BEGIN ")) != NULL) {
        struct sp_str from = after(rest, begin), label, marker;
        const char   *label_at = begin + 11, *label_end = find(after(from, label_at), "-----");
        char          end[96];
        const char   *at;
        int           err;

        l->line = 1 + lines(bytes.p, begin);
        if (label_end == NULL || label_end - label_at > 60 ||
            memchr(label_at, '\n', (size_t)(label_end - label_at)) != NULL) {
            return fail_block(l, "the file may be half-written", "damaged BEGIN line", "PEM");
        }
        label = (struct sp_str){label_at, (size_t)(label_end - label_at)};
        (void)snprintf(end, sizeof(end), "-----END %.*s-----", (int)label.n, label.p);
        at = find(after(from, label_end), end);
        marker = at == NULL ? (struct sp_str){NULL, 0} : (struct sp_str){label_end + 5, (size_t)(at - label_end) - 5};
        if (at == NULL || find(marker, "-----BEGIN ") != NULL) {
            return fail_block(l, "the file may be half-written", "block without its END line", "PEM");
        }
        at += strlen(end);
        err = take_block(l, label, (struct sp_str){begin, (size_t)(at - begin)});
        if (err < 0) {
            return err;
        }
        rest = after(rest, at);
    }
    if (!blank(rest)) {
        l->line = 1 + lines(bytes.p, rest.p) + 1;
        return fail_block(l, "the file may be half-written, or two files in one",
                          "unexpected text after the last block", "PEM");
    }
    return 0;
}

static int
load_der(struct load *l, struct sp_str bytes)
{
    l->line = 1;
    switch (l->wanted) {
    case CERTIFICATES:
        return add_certificate(l, (const uint8_t *)bytes.p, (long)bytes.n, "DER");
    case CRLS:
        return add_crl(l, (const uint8_t *)bytes.p, (long)bytes.n, "DER");
    case KEY:
        break;
    }
    return decode_key(l, bytes.p, bytes.n, "DER", "DER");
}

static int
none_found(struct load *l, struct sp_str bytes)
{
    char text[96];

    (void)snprintf(text, sizeof(text), "no %s in it", wanted_names[l->wanted]);
    if (l->wanted == KEY && find(bytes, "PUBLIC KEY-----") != NULL) {
        return fail(l, "expected the private key", "this is a public key");
    }
    if (l->wanted == KEY && find(bytes, "CERTIFICATE-----") != NULL) {
        return fail(l, "expected the private key", "this is a certificate");
    }
    if (l->wanted == CERTIFICATES && find(bytes, "PRIVATE KEY-----") != NULL) {
        return fail(l, "expected certificates", "this is a private key");
    }
    return fail(l, "expected PEM or DER", text);
}

static int
load(struct load *l)
{
    struct sp_str bytes;
    int           err = sp_build_file(l->b, l->node, l->arg, &bytes);

    if (err < 0) {
        return -EINVAL;
    }
    ERR_clear_error();
    if (find(bytes, "-----BEGIN ") != NULL) {
        err = load_pem(l, bytes);
    } else if ((uint8_t)bytes.p[0] == 0x30) {
        err = load_der(l, bytes);
    }
    if (err == 0 && l->found == 0) {
        err = none_found(l, bytes);
    }
    return err;
}

int
sp_load_certificates(struct sp_build *b, const struct sp_conf_node *node, unsigned i, STACK_OF(X509) * out)
{
    struct load l = {.b = b, .node = node, .arg = i, .wanted = CERTIFICATES, .certificates = out};

    return load(&l);
}

int
sp_load_crls(struct sp_build *b, const struct sp_conf_node *node, unsigned i, STACK_OF(X509_CRL) * out)
{
    struct load l = {.b = b, .node = node, .arg = i, .wanted = CRLS, .crls = out};

    return load(&l);
}

int
sp_load_key(struct sp_build *b, const struct sp_conf_node *node, unsigned i, EVP_PKEY **out)
{
    struct load l = {.b = b, .node = node, .arg = i, .wanted = KEY};
    int         err = load(&l);

    if (err < 0) {
        EVP_PKEY_free(l.key);
        return err;
    }
    *out = l.key;
    return 0;
}
