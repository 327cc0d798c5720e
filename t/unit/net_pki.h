/* Certificates for the tests of src/core/net, made in memory. P-256 throughout. */
#ifndef SP_T_UNIT_NET_PKI_H
#define SP_T_UNIT_NET_PKI_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY 86400L

struct party {
    EVP_PKEY *key;
    X509     *cert;
};

__attribute__((unused)) static void
pki_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX      ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

/* cn may hold several names separated by '|'; san NULL: none. issuer NULL: self-signed. */
__attribute__((unused)) static struct party
pki_make(const char *cn, const struct party *issuer, long serial, long from, long until, int ca, const char *san)
{
    struct party p = {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), X509_new()};
    X509_NAME   *name = X509_NAME_new();
    char        *names = strdup(cn), *rest = names, *one;
    X509        *above = issuer == NULL ? p.cert : issuer->cert;

    X509_set_version(p.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(p.cert), from);
    X509_gmtime_adj(X509_getm_notAfter(p.cert), until);
    while ((one = strsep(&rest, "|")) != NULL && *cn != '\0') {
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)one, -1, -1, 0);
    }
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Test", -1, -1, 0);
    X509_set_subject_name(p.cert, name);
    X509_set_issuer_name(p.cert, issuer == NULL ? name : X509_get_subject_name(issuer->cert));
    X509_set_pubkey(p.cert, p.key);
    pki_extension(p.cert, above, NID_basic_constraints, ca ? "critical,CA:TRUE" : "CA:FALSE");
    pki_extension(p.cert, above, NID_subject_key_identifier, "hash");
    if (issuer != NULL) {
        pki_extension(p.cert, above, NID_authority_key_identifier, "keyid");
    }
    if (ca) {
        pki_extension(p.cert, above, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    if (san != NULL) {
        pki_extension(p.cert, above, NID_subject_alt_name, san);
    }
    X509_sign(p.cert, issuer == NULL ? p.key : issuer->key, EVP_sha256());
    X509_NAME_free(name);
    free(names);
    return p;
}

__attribute__((unused)) static void
pki_free(struct party *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
}

/* serials: zero-terminated. */
__attribute__((unused)) static X509_CRL *
pki_crl(const struct party *issuer, const long *serials, long from, long until)
{
    X509_CRL  *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_new();

    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert));
    X509_CRL_set1_lastUpdate(crl, X509_gmtime_adj(t, from));
    X509_CRL_set1_nextUpdate(crl, X509_gmtime_adj(t, until));
    X509_gmtime_adj(t, -60);
    for (; *serials != 0; serials++) {
        X509_REVOKED *r = X509_REVOKED_new();
        ASN1_INTEGER *n = ASN1_INTEGER_new();
        ASN1_INTEGER_set(n, *serials);
        X509_REVOKED_set_serialNumber(r, n);
        X509_REVOKED_set_revocationDate(r, t);
        X509_CRL_add0_revoked(crl, r);
        ASN1_INTEGER_free(n);
    }
    X509_CRL_sort(crl);
    X509_CRL_sign(crl, issuer->key, EVP_sha256());
    ASN1_TIME_free(t);
    return crl;
}

/* The texts live until pki_free_texts(). */
static char  *pki_texts[200];
static size_t pki_ntexts;

__attribute__((unused)) static void
pki_free_texts(void)
{
    while (pki_ntexts > 0) {
        free(pki_texts[--pki_ntexts]);
    }
}

static char *
pki_text(BIO *bio)
{
    char *data = NULL;
    long  n = BIO_get_mem_data(bio, &data);
    char *text = calloc(1, (size_t)n + 1);

    if (pki_ntexts < 200) {
        pki_texts[pki_ntexts++] = text;
    }
    memcpy(text, data, (size_t)n);
    BIO_free(bio);
    return text;
}

__attribute__((unused)) static char *
pki_cert_pem(X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_X509(bio, x);
    return pki_text(bio);
}

__attribute__((unused)) static char *
pki_crl_pem(X509_CRL *x)
{
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_X509_CRL(bio, x);
    return pki_text(bio);
}

__attribute__((unused)) static char *
pki_key_pem(EVP_PKEY *key, const char *password)
{
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_PrivateKey(bio, key, password == NULL ? NULL : EVP_aes_256_cbc(), (const unsigned char *)password,
                             password == NULL ? 0 : (int)strlen(password), NULL, NULL);
    return pki_text(bio);
}

#endif
