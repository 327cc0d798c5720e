#include "cli/pki_ca.h"
#include "tap.h"

#include <errno.h>

#define NOW 1800000000 /* 2027 */

static void
test_san(void)
{
    static const char *const bad[] = {
        "",    "localhost", "DNS:",         "DNS:a b", "DNS:-a", "DNS:a..b", "DNS:127.0.0.1",
        "IP:", "IP:1.2.3",  "IP:localhost", "dns:a",   "URI:x",  "DNS:a/b",
    };
    static const char *const good[] = {
        "DNS:localhost", "DNS:*.example.org", "DNS:a-b.c_d", "IP:127.0.0.1", "IP:::1",
    };
    GENERAL_NAMES *san = NULL;
    size_t         i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        is_int(sp_pki_san_add(&san, bad[i]), -EINVAL, "refuses '%s'", bad[i]);
    }
    ok(san == NULL, "and keeps none of them");
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        is_int(sp_pki_san_add(&san, good[i]), 0, "takes '%s'", good[i]);
    }
    is_int(sk_GENERAL_NAME_num(san), 5, "five names");
    GENERAL_NAMES_free(san);
}

static void
test_type(const char *type)
{
    struct sp_pki_index index;
    struct sp_pki_entry entry = {.name = "drone", .state = SP_PKI_REVOKED, .reason = 1, .revoked_at = NOW};
    struct sp_pki_leaf  leaf = {.name = "drone", .server = true, .not_before = NOW - 300, .not_after = NOW + 86400};
    struct sp_pki_ca    ca = {NULL, NULL};
    GENERAL_NAMES      *copy = NULL;
    EVP_PKEY           *key = NULL;
    X509               *cert = NULL, *renewed = NULL;
    X509_CRL           *crl = NULL;
    X509_REVOKED       *revoked;
    uint64_t            number = 0;
    time_t              when = 0;
    int                 rc = sp_pki_key_make(type, &ca.key);

    if (rc == -ENOTSUP) {
        ok(ca.key == NULL, "# skip this OpenSSL has no %s", type);
        return;
    }
    is_int(rc, 0, "%s: a key", type);
    is_int(sp_pki_ca_make(NULL, "Test CA", ca.key, NOW, 10, &ca.cert), 0, "a CA");
    is_int(sp_pki_ca_check(&ca, "memory"), 0, "is a CA");
    is_int(X509_verify(ca.cert, ca.key), 1, "signed by itself");
    is_int(X509_get_pathlen(ca.cert), 0, "path length 0");
    is_int(sp_pki_ca_make(ca.cert, NULL, ca.key, NOW, 20, &renewed), 0, "renewed");
    is_int(X509_NAME_cmp(X509_get_subject_name(ca.cert), X509_get_subject_name(renewed)), 0, "with the same subject");
    is_int(ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(ca.cert), X509_get0_subject_key_id(renewed)), 0,
           "and key id");

    is_int(sp_pki_key_make(type, &key), 0, "a leaf's key");
    (void)sp_pki_san_add(&leaf.san, "DNS:localhost");
    is_int(sp_pki_leaf_make(&ca, &leaf, key, &cert), 0, "a leaf");
    is_int(X509_verify(cert, renewed != NULL ? X509_get0_pubkey(renewed) : NULL), 1, "verifies under the renewed CA");
    is_int(X509_check_private_key(cert, key), 1, "has its key");
    is_int(X509_check_host(cert, "localhost", 0, 0, NULL), 1, "is localhost");
    ok(sp_pki_cert_is_server(cert), "is a server");
    is_int(sp_pki_cert_not_after(cert, &when), 0, "has an end");
    is_int(when, NOW + 86400, "the one asked for");
    is_int(sp_pki_san_copy(&copy, cert), 0, "names are copied");
    is_int(sk_GENERAL_NAME_num(copy), 1, "DNS and IP only");
    is_int(sp_pki_cert_serial(cert, entry.serial), 0, "has a serial");

    sp_pki_index_init(&index);
    index.crl_number = 41;
    (void)sp_pki_index_add(&index, &entry);
    is_int(sp_pki_crl_make(&ca, &index, NOW, &crl), 0, "a CRL");
    is_int(X509_CRL_verify(crl, ca.key), 1, "signed");
    is_int(sp_pki_crl_number(crl, &number), 0, "numbered");
    is_int(number, 41, "as the index says");
    is_int(sp_pki_crl_next_update(crl, &when), 0, "next update");
    is_int(when, NOW + 30 * 86400, "in 30 days");
    is_int(X509_CRL_get0_by_cert(crl, &revoked, cert), 1, "lists the leaf");
    is_int(X509_CRL_get0_by_cert(crl, &revoked, ca.cert), 0, "and not the CA");

    sp_pki_index_free(&index);
    X509_CRL_free(crl);
    GENERAL_NAMES_free(copy);
    GENERAL_NAMES_free(leaf.san);
    X509_free(cert);
    X509_free(renewed);
    X509_free(ca.cert);
    EVP_PKEY_free(ca.key);
    EVP_PKEY_free(key);
}

static void
test_refusals(void)
{
    struct sp_pki_ca ca = {NULL, NULL};
    EVP_PKEY        *other = NULL;

    is_int(sp_pki_key_make("dsa", &other), -EINVAL, "unknown key type");
    is_int(sp_pki_key_make("ec", &ca.key), 0, "a key");
    is_int(sp_pki_ca_make(NULL, "A", ca.key, NOW, 1, &ca.cert), 0, "a CA");
    is_int(sp_pki_key_make("ec", &other), 0, "another key");
    EVP_PKEY_free(ca.key);
    ca.key = other;
    is_int(sp_pki_ca_check(&ca, "memory"), -EINVAL, "is not this CA's");
    X509_free(ca.cert);
    EVP_PKEY_free(other);
}

int
main(void)
{
    size_t i;

    test_san();
    for (i = 0; sp_pki_key_type_at(i) != NULL; i++) {
        test_type(sp_pki_key_type_at(i));
    }
    test_refusals();
    return done_testing();
}
