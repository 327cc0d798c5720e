#include "cli/pki_ca.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#define DAY_S       86400
#define SERIAL_BITS 127
#define RSA_BITS    3072

static const struct {
    const char *name;
    const char *algorithm;
    const char *since; /* the first OpenSSL that has it */
} key_types[] = {
    {"ec", "EC", "3.0"},
    {"ed25519", "ED25519", "3.0"},
    {"rsa", "RSA", "3.0"},
    {"ml-dsa-65", "ML-DSA-65", "3.5"},
};

const char *
sp_pki_key_type_at(size_t i)
{
    return i < sizeof(key_types) / sizeof(key_types[0]) ? key_types[i].name : NULL;
}

static int
set_key_parameters(EVP_PKEY_CTX *ctx, const char *algorithm)
{
    char       group[] = "P-256";
    size_t     bits = RSA_BITS;
    OSSL_PARAM params[2];

    if (strcmp(algorithm, "EC") == 0) {
        params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    } else if (strcmp(algorithm, "RSA") == 0) {
        params[0] = OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits);
    } else {
        return 1;
    }
    params[1] = OSSL_PARAM_construct_end();
    return EVP_PKEY_CTX_set_params(ctx, params);
}

int
sp_pki_key_make(const char *type, EVP_PKEY **key)
{
    const char   *algorithm = NULL;
    EVP_PKEY_CTX *ctx;
    size_t        i;
    int           rc = 0;

    for (i = 0; sp_pki_key_type_at(i) != NULL; i++) {
        if (strcmp(type, key_types[i].name) == 0) {
            algorithm = key_types[i].algorithm;
            break;
        }
    }
    if (algorithm == NULL) {
        sp_pki_error("unknown key type '%s'; expected ec, ed25519, rsa or ml-dsa-65", type);
        return -EINVAL;
    }

    *key = NULL;
    ERR_clear_error();
    ctx = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) <= 0) {
        sp_pki_error("%s keys: this OpenSSL (%s) does not make them; expected %s or newer", type,
                     OpenSSL_version(OPENSSL_VERSION_STRING), key_types[i].since);
        ERR_clear_error();
        rc = -ENOTSUP;
    } else if (set_key_parameters(ctx, algorithm) <= 0 || EVP_PKEY_generate(ctx, key) <= 0) {
        sp_pki_error_ssl("cannot make a key of type %s", type);
        rc = -EIO;
    }
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

/* EdDSA and ML-DSA hash by themselves and want no digest. */
static const EVP_MD *
digest_for(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "RSA") ? EVP_sha256() : NULL;
}

static bool
set_random_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool    ok = false;

    if (number != NULL) {
        do {
            ok = BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1;
        } while (ok && BN_is_zero(number));
        ok = ok && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    }
    BN_free(number);
    return ok;
}

static bool
set_times(X509 *cert, time_t not_before, time_t not_after)
{
    return ASN1_TIME_adj(X509_getm_notBefore(cert), not_before, 0, 0) != NULL &&
           ASN1_TIME_adj(X509_getm_notAfter(cert), not_after, 0, 0) != NULL;
}

static bool
set_common_name(X509 *cert, const char *cn)
{
    return X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)cn, -1, -1, 0);
}

static bool
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *ext;
    X509V3_CTX      ctx;
    bool            ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    ok = ext != NULL && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

int
sp_pki_ca_make(const X509 *old, const char *cn, EVP_PKEY *key, time_t now, unsigned days, X509 **out)
{
    X509 *cert = X509_new();

    ERR_clear_error();
    if (cert == NULL || !X509_set_version(cert, X509_VERSION_3) || !set_random_serial(cert) ||
        !set_times(cert, now - SP_PKI_SKEW_S, now + (time_t)days * DAY_S) ||
        !(old != NULL ? X509_set_subject_name(cert, X509_get_subject_name(old)) : set_common_name(cert, cn)) ||
        !X509_set_issuer_name(cert, X509_get_subject_name(cert)) || !X509_set_pubkey(cert, key) ||
        !add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(cert, cert, NID_subject_key_identifier, "hash") || X509_sign(cert, key, digest_for(key)) <= 0) {
        sp_pki_error_ssl("cannot make the CA certificate");
        X509_free(cert);
        return -EIO;
    }
    *out = cert;
    return 0;
}

int
sp_pki_ca_check(const struct sp_pki_ca *ca, const char *path)
{
    ERR_clear_error();
    if (X509_check_ca(ca->cert) != 1) {
        sp_pki_error("%s/ca.crt: expected a CA certificate (basicConstraints CA:TRUE)", path);
        return -EINVAL;
    }
    if (X509_check_private_key(ca->cert, ca->key) != 1) {
        ERR_clear_error();
        sp_pki_error("%s/ca.key: expected the key of %s/ca.crt; this is another one", path, path);
        return -EINVAL;
    }
    return 0;
}

static bool
push_name(GENERAL_NAMES *names, int type, int string_type, const void *data, size_t len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING  *value = ASN1_STRING_type_new(string_type);

    if (name == NULL || value == NULL || !ASN1_STRING_set(value, data, (int)len)) {
        goto fail;
    }
    GENERAL_NAME_set0_value(name, type, value);
    value = NULL;
    if (sk_GENERAL_NAME_push(names, name) > 0) {
        return true;
    }
fail:
    ASN1_STRING_free(value);
    GENERAL_NAME_free(name);
    return false;
}

static bool
add_alt_names(X509 *cert, const struct sp_pki_leaf *leaf)
{
    static const char scheme[] = "sallyport:";
    GENERAL_NAMES    *all = NULL;
    GENERAL_NAME     *copy;
    char              uri[sizeof(scheme) + SP_PKI_NAME_MAX];
    bool              ok = false;
    int               i;

    all = sk_GENERAL_NAME_new_null();
    if (all == NULL) {
        return false;
    }
    strcpy(uri, scheme);
    strncat(uri, leaf->name, SP_PKI_NAME_MAX);
    if (!push_name(all, GEN_URI, V_ASN1_IA5STRING, uri, strlen(uri))) {
        goto out;
    }
    for (i = 0; i < sk_GENERAL_NAME_num(leaf->san); i++) {
        copy = GENERAL_NAME_dup(sk_GENERAL_NAME_value(leaf->san, i));
        if (copy == NULL || sk_GENERAL_NAME_push(all, copy) <= 0) {
            GENERAL_NAME_free(copy);
            goto out;
        }
    }
    ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, all, 0, 0) == 1;
out:
    GENERAL_NAMES_free(all);
    return ok;
}

int
sp_pki_leaf_make(const struct sp_pki_ca *ca, const struct sp_pki_leaf *leaf, EVP_PKEY *key, X509 **out)
{
    X509 *cert = X509_new();

    ERR_clear_error();
    if (cert == NULL || !X509_set_version(cert, X509_VERSION_3) || !set_random_serial(cert) ||
        !set_times(cert, leaf->not_before, leaf->not_after) || !set_common_name(cert, leaf->name) ||
        !X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) || !X509_set_pubkey(cert, key) ||
        !add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(cert, ca->cert, NID_ext_key_usage, leaf->server ? "serverAuth,clientAuth" : "clientAuth") ||
        !add_extension(cert, ca->cert, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid:always") || !add_alt_names(cert, leaf) ||
        X509_sign(cert, ca->key, digest_for(ca->key)) <= 0) {
        sp_pki_error_ssl("cannot make the certificate of %s", leaf->name);
        X509_free(cert);
        return -EIO;
    }
    *out = cert;
    return 0;
}

static bool
crl_add_entry(X509_CRL *crl, const struct sp_pki_entry *entry)
{
    X509_REVOKED    *revoked = X509_REVOKED_new();
    ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
    ASN1_INTEGER    *serial = NULL;
    ASN1_TIME       *when = ASN1_TIME_adj(NULL, entry->revoked_at, 0, 0);
    BIGNUM          *number = NULL;
    bool             ok;

    ok = revoked != NULL && reason != NULL && when != NULL && BN_hex2bn(&number, entry->serial) > 0 &&
         (serial = BN_to_ASN1_INTEGER(number, NULL)) != NULL && X509_REVOKED_set_serialNumber(revoked, serial) &&
         X509_REVOKED_set_revocationDate(revoked, when);

    /* RFC 5280 5.3.1: "unspecified" is said by leaving the reason out */
    if (ok && entry->reason != 0) {
        ok = ASN1_ENUMERATED_set(reason, entry->reason) &&
             X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, reason, 0, 0) == 1;
    }
    if (ok && X509_CRL_add0_revoked(crl, revoked)) {
        revoked = NULL;
    } else {
        ok = false;
    }
    BN_free(number);
    ASN1_TIME_free(when);
    ASN1_INTEGER_free(serial);
    ASN1_ENUMERATED_free(reason);
    X509_REVOKED_free(revoked);
    return ok;
}

static bool
crl_add_extensions(X509_CRL *crl, const struct sp_pki_ca *ca, uint64_t number)
{
    ASN1_INTEGER   *value = ASN1_INTEGER_new();
    X509_EXTENSION *ext;
    X509V3_CTX      ctx;
    bool            ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, ca->cert, NULL, NULL, crl, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
    ok = ext != NULL && X509_CRL_add_ext(crl, ext, -1) && value != NULL && ASN1_INTEGER_set_uint64(value, number) &&
         X509_CRL_add1_ext_i2d(crl, NID_crl_number, value, 0, 0) == 1;
    X509_EXTENSION_free(ext);
    ASN1_INTEGER_free(value);
    return ok;
}

int
sp_pki_crl_make(const struct sp_pki_ca *ca, const struct sp_pki_index *index, time_t now, X509_CRL **out)
{
    X509_CRL  *crl = X509_CRL_new();
    ASN1_TIME *last, *next;
    size_t     i;
    bool       ok;

    ERR_clear_error();
    last = ASN1_TIME_adj(NULL, now - SP_PKI_SKEW_S, 0, 0);
    next = ASN1_TIME_adj(NULL, now + (time_t)index->crl_days * DAY_S, 0, 0);
    ok = crl != NULL && last != NULL && next != NULL && X509_CRL_set_version(crl, X509_CRL_VERSION_2) &&
         X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) && X509_CRL_set1_lastUpdate(crl, last) &&
         X509_CRL_set1_nextUpdate(crl, next) && crl_add_extensions(crl, ca, index->crl_number);

    for (i = 0; ok && i < index->count; i++) {
        if (index->entries[i].state == SP_PKI_REVOKED) {
            ok = crl_add_entry(crl, &index->entries[i]);
        }
    }
    ok = ok && X509_CRL_sort(crl) && X509_CRL_sign(crl, ca->key, digest_for(ca->key)) > 0;
    ASN1_TIME_free(last);
    ASN1_TIME_free(next);
    if (!ok) {
        sp_pki_error_ssl("cannot make the CRL");
        X509_CRL_free(crl);
        return -EIO;
    }
    *out = crl;
    return 0;
}

bool
sp_pki_host_ok(const char *host)
{
    const char *label = host;
    size_t      len, i;

    if (strlen(host) > 253) {
        return false;
    }
    if (strncmp(label, "*.", 2) == 0) {
        label += 2;
    }
    for (;; label += len + 1) {
        len = strcspn(label, ".");
        if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-') {
            return false;
        }
        for (i = 0; i < len; i++) {
            if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_') {
                return false;
            }
        }
        if (label[len] == '\0') {
            return true;
        }
    }
}

int
sp_pki_san_add(GENERAL_NAMES **san, const char *text)
{
    unsigned char address[16];
    size_t        address_len = 0;
    bool          ok;

    if (strncmp(text, "IP:", 3) == 0) {
        if (inet_pton(AF_INET, text + 3, address) == 1) {
            address_len = 4;
        } else if (inet_pton(AF_INET6, text + 3, address) == 1) {
            address_len = 16;
        }
    }
    if (address_len == 0 &&
        (strncmp(text, "DNS:", 4) != 0 || !sp_pki_host_ok(text + 4) || inet_pton(AF_INET, text + 4, address) == 1)) {
        sp_pki_error("--san '%s': expected DNS:HOST or IP:ADDRESS, such as DNS:localhost, "
                     "IP:127.0.0.1 or IP:::1",
                     text);
        return -EINVAL;
    }
    if (*san == NULL) {
        *san = sk_GENERAL_NAME_new_null();
    }
    ok = *san != NULL && (address_len != 0 ? push_name(*san, GEN_IPADD, V_ASN1_OCTET_STRING, address, address_len)
                                           : push_name(*san, GEN_DNS, V_ASN1_IA5STRING, text + 4, strlen(text + 4)));
    if (!ok) {
        sp_pki_error("out of memory");
        return -ENOMEM;
    }
    return 0;
}

int
sp_pki_san_copy(GENERAL_NAMES **san, const X509 *cert)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    GENERAL_NAME  *name;
    int            rc = 0;
    int            i;

    for (i = 0; rc == 0 && i < sk_GENERAL_NAME_num(all); i++) {
        name = sk_GENERAL_NAME_value(all, i);
        if (name->type != GEN_DNS && name->type != GEN_IPADD) {
            continue;
        }
        if (*san == NULL) {
            *san = sk_GENERAL_NAME_new_null();
        }
        name = GENERAL_NAME_dup(name);
        if (*san == NULL || name == NULL || sk_GENERAL_NAME_push(*san, name) <= 0) {
            GENERAL_NAME_free(name);
            sp_pki_error("out of memory");
            rc = -ENOMEM;
        }
    }
    GENERAL_NAMES_free(all);
    return rc;
}

int
sp_pki_cert_serial(const X509 *cert, char serial[SP_PKI_SERIAL_MAX + 1])
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char   *hex = number == NULL || BN_is_negative(number) ? NULL : BN_bn2hex(number);
    int     rc = -EINVAL;

    if (hex != NULL && strlen(hex) <= SP_PKI_SERIAL_MAX) {
        strcpy(serial, hex);
        rc = 0;
    }
    OPENSSL_free(hex);
    BN_free(number);
    return rc;
}

static int
to_time(const ASN1_TIME *from, time_t *when)
{
    struct tm tm;

    if (from == NULL || !ASN1_TIME_to_tm(from, &tm)) {
        return -EINVAL;
    }
    *when = timegm(&tm);
    return 0;
}

int
sp_pki_cert_not_after(const X509 *cert, time_t *when)
{
    return to_time(X509_get0_notAfter(cert), when);
}

bool
sp_pki_cert_is_server(X509 *cert)
{
    uint32_t usage = X509_get_extended_key_usage(cert);

    return usage != UINT32_MAX && (usage & XKU_SSL_SERVER) != 0;
}

int
sp_pki_crl_number(const X509_CRL *crl, uint64_t *number)
{
    ASN1_INTEGER *value = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    int           rc = value != NULL && ASN1_INTEGER_get_uint64(number, value) ? 0 : -EINVAL;

    ASN1_INTEGER_free(value);
    return rc;
}

int
sp_pki_crl_next_update(const X509_CRL *crl, time_t *when)
{
    return to_time(X509_CRL_get0_nextUpdate(crl), when);
}
