#include "net/trust.h"

#include "base/clock.h"
#include "net_conf.h"
#include "net_pki.h"
#include "tap.h"

static struct party ca, other, twin, own, old_own, drone, gcs, expired, future, middle, deep;
static const long   none[] = {0}, drone_serial[] = {11, 0};

static struct sp_snapshot *
build(const char *inside, char **errors)
{
    char text[2048];

    snprintf(text, sizeof(text), "trust t {\n%s\n}\n", inside);
    return conf_build(text, errors);
}

static struct sp_snapshot *
taken(const char *inside, const char *warning)
{
    char               *errors;
    struct sp_snapshot *s = build(inside, &errors);
    bool                told = warning == NULL ? errors == NULL : errors != NULL && strstr(errors, warning) != NULL;

    ok(s != NULL && told, "taken%s%s: %s", warning == NULL ? "" : ", warns ", warning == NULL ? "" : warning, inside);
    if (s == NULL || !told) {
        printf("# %s\n", errors == NULL ? "no text" : errors);
    }
    free(errors);
    return s;
}

static void
refused(const char *inside, const char *place, const char *message)
{
    char               *errors;
    struct sp_snapshot *s = build(inside, &errors);
    bool                told = errors != NULL && strstr(errors, message) != NULL && strstr(errors, place) != NULL;

    ok(s == NULL && told, "refused: %s: %s", inside, message);
    if (!told) {
        printf("# %s\n", errors == NULL ? "no text" : errors);
    }
    free(errors);
    if (s != NULL) {
        sp_snapshot_unref(s);
    }
}

static char *
joined(const char *a, const char *b)
{
    char *all = malloc(strlen(a) + strlen(b) + 1);

    strcpy(all, a);
    return strcat(all, b);
}

static void
test_files(void)
{
    char *ca_pem = pki_cert_pem(ca.cert), *own_pem = pki_cert_pem(own.cert), *key = pki_key_pem(own.key, NULL);
    char *secret = pki_key_pem(own.key, "secret"), *other_key = pki_key_pem(other.key, NULL);
    char *half = strdup(ca_pem), *twisted = strdup(ca_pem), *tail = joined(ca_pem, "rubbish\n");
    char *both = joined(own_pem, key), *commented = joined("# our CA\n", ca_pem),
         *cut = joined(ca_pem, "-----BEGIN CERTIFICATE-----\nMIIB\n");
    uint8_t  *der = NULL, *longer;
    int       n = i2d_X509(ca.cert, &der);
    X509_CRL *crl = pki_crl(&ca, none, -60, DAY), *stale = pki_crl(&ca, none, -DAY, -60),
             *foreign = pki_crl(&other, none, -60, DAY);
    X509_CRL *forged = pki_crl(&twin, none, -60, DAY);
    char     *crl_pem = pki_crl_pem(crl), *stale_pem = pki_crl_pem(stale), *foreign_pem = pki_crl_pem(foreign),
         *forged_pem = pki_crl_pem(forged);
    char *old_pem = pki_cert_pem(old_own.cert), *old_key = pki_key_pem(old_own.key, NULL);

    half[strlen(half) / 2] = '\0';
    memcpy(twisted + 60, "!!!!", 4);
    longer = calloc(1, (size_t)n + 3);
    memcpy(longer, der, (size_t)n);
    conf_text("a", ca_pem);
    conf_text("c", own_pem);
    conf_text("k", key);
    conf_text("secret", secret);
    conf_text("otherkey", other_key);
    conf_text("half", half);
    conf_text("twisted", twisted);
    conf_text("tail", tail);
    conf_text("both", both);
    conf_text("commented", commented);
    conf_text("cut", cut);
    conf_file("der", der, (size_t)n);
    conf_file("longer", longer, (size_t)n + 3);
    conf_text("empty", "");
    conf_text("text", "hello\n");
    conf_text("crl", crl_pem);
    conf_text("stale", stale_pem);
    conf_text("foreign", foreign_pem);
    conf_text("forged", forged_pem);
    conf_text("oldc", old_pem);
    conf_text("oldk", old_key);

    sp_snapshot_unref(taken("ca a; certificate c; key k;", NULL));
    sp_snapshot_unref(taken("ca der; certificate both; key both;", NULL));
    sp_snapshot_unref(taken("ca commented; certificate c; key k; crl crl;", NULL));
    sp_snapshot_unref(taken("certificate c; key k;", NULL));
    sp_snapshot_unref(
        taken("ca a; certificate c; key k; protocols TLSv1.3 TLSv1.2; verify_depth 2; session_tickets off;", NULL));
    sp_snapshot_unref(
        taken("ca a; certificate c; key k; groups X25519 P-256; ciphersuites TLS_AES_128_GCM_SHA256;", NULL));
    sp_snapshot_unref(taken("ca a; certificate c; key k; crl stale;", "EVERY client of this authority is refused"));
    sp_snapshot_unref(taken("ca a; certificate c; key k; crl stale; crl_stale allow;", "it counts on"));
    sp_snapshot_unref(taken("ca a; certificate c; key k; crl stale; crl_stale grace=1h;", "it counts on for now"));
    sp_snapshot_unref(taken("ca a; certificate oldc; key oldk;", "certificate expired on 20"));
    sp_snapshot_unref(taken("ca c; certificate c; key k;", "not an authority's certificate"));

    refused("ca a; key k;", "t.conf:1:7", "has no certificate");
    refused("ca a; certificate c;", "t.conf:1:7", "has no key");
    refused("ca nowhere; certificate c; key k;", "t.conf:2:4", "cannot read \"nowhere\": no such file");
    refused("ca empty; certificate c; key k;", "t.conf:2:4", "it is empty");
    refused("ca half; certificate c; key k;", "t.conf:2:4", "block without its END line");
    refused("ca cut; certificate c; key k;", "t.conf:2:4", "block without its END line");
    refused("ca twisted; certificate c; key k;", "t.conf:2:4", "damaged block");
    refused("ca tail; certificate c; key k;", "t.conf:2:4", "unexpected text after the last block");
    refused("ca text; certificate c; key k;", "t.conf:2:4", "no certificate in it");
    refused("ca longer; certificate c; key k;", "t.conf:2:4", "not a certificate");
    refused("ca k; certificate c; key k;", "t.conf:2:4", "this is a private key");
    refused("ca crl; certificate c; key k;", "t.conf:2:4", "unexpected block");
    refused("ca a; certificate c; key otherkey;", "t.conf:2:26", "the key does not belong to the certificate");
    refused("ca a; certificate c; key secret;", "t.conf:2:26", "encrypted private key");
    refused("ca a; certificate c; key c;", "t.conf:2:26", "this is a certificate");
    refused("ca a; certificate c; key half;", "t.conf:2:26", "block without its END line");
    refused("ca a; certificate c; key k; crl a;", "t.conf:2:33", "expected CRLs");
    refused("ca a; certificate c; key k; crl foreign;", "t.conf:2:33", "of none of the authorities in `ca`");
    refused("ca a; certificate c; key k; crl forged;", "t.conf:2:33", "is not signed by that authority");
    refused("ca a; certificate c; key k; crl crl empty;", "t.conf:2:37", "it is empty");
    refused("ca a; certificate c; key k; groups X25519 nonsense;", "t.conf:2:43",
            "does not have the group \"nonsense\"");
    refused("ca a; certificate c; key k; ciphersuites TLS_AES_128_GCM_SHA265;", "t.conf:2:42",
            "did you mean \"TLS_AES_128_GCM_SHA256\"?");
    refused("ca a; certificate c; key k; protocols TLSv1.1;", "t.conf:2:39", "\"TLSv1.1\" is not offered");
    refused("ca a; certificate c; key k; crl_stale denny;", "t.conf:2:39", "did you mean \"deny\"?");
    refused("ca a; certificate c; key k; crl_stale grace=x;", "t.conf:2:39", "names no time");
    refused("ca a; certificate c; key k;\n}\ntrust t { ca a; certificate c; key k;", "t.conf:4:7",
            "trust \"t\" is defined twice");

    X509_CRL_free(crl);
    X509_CRL_free(stale);
    X509_CRL_free(foreign);
    X509_CRL_free(forged);
    OPENSSL_free(der);
}

/* -- verdicts -- */

static void
use_crl(const char *name, const struct party *issuer, const long *serials, long from, long until)
{
    X509_CRL *crl = pki_crl(issuer, serials, from, until);

    conf_text(name, pki_crl_pem(crl));
    X509_CRL_free(crl);
}

static const char *
verdict(struct sp_trust *t, struct party *p, struct party *above)
{
    static char     why[1024];
    struct sp_chain info;
    STACK_OF(X509) *rest = sk_X509_new_null();
    int error, err;

    if (above != NULL) {
        sk_X509_push(rest, above->cert);
    }
    err = sp_trust_verify(t, p->cert, rest, &info, &error, why, sizeof(why));
    sk_X509_free(rest);
    return err == 0 ? "ok" : why;
}

static bool
has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        printf("# %s\n", text);
        return false;
    }
    return true;
}

static void
test_verdicts(void)
{
    struct sp_snapshot *s;
    struct sp_trust    *t;
    char               *chain = joined(pki_cert_pem(ca.cert), pki_cert_pem(middle.cert));

    conf_text("chain", chain);
    use_crl("none", &ca, none, -60, DAY);
    use_crl("one", &ca, drone_serial, -60, DAY);
    use_crl("late", &ca, drone_serial, -DAY, -60);
    use_crl("middle", &middle, none, -60, DAY);

    s = taken("ca a; certificate c; key k;", NULL);
    t = s->trusts;
    is_str(verdict(t, &drone, NULL), "ok", "a client's certificate");
    is_str(verdict(t, &deep, &middle), "ok", "one below an intermediate one");
    ok(has(verdict(t, &deep, NULL), "not accepted"), "which must be there");
    ok(has(verdict(t, &expired, NULL), "certificate expired: subject=\"O=Test,CN=expired\" serial=0D not_after=20"),
       "expired");
    ok(has(verdict(t, &future, NULL),
           "certificate not yet valid: subject=\"O=Test,CN=future\" serial=0E not_before=20"),
       "not yet valid");
    ok(has(verdict(t, &other, NULL), "certificate not accepted: "), "self-signed");
    sp_snapshot_unref(s);

    s = taken("ca a; certificate c; key k; crl one;", NULL);
    t = s->trusts;
    ok(has(verdict(t, &drone, NULL), "certificate revoked: subject=\"O=Test,CN=drone\" serial=0B revoked=20"),
       "revoked");
    is_str(verdict(t, &gcs, NULL), "ok", "another one is not");
    ok(t->has_crl && t->crl_all && t->crl_next_update > time(NULL), "what the CRL says of itself");
    ok(has(verdict(t, &deep, &middle), "unable to get certificate CRL"), "an issuer without a CRL");
    sp_snapshot_unref(s);

    s = taken("ca chain; certificate c; key k; crl none middle;", NULL);
    ok(s->trusts->crl_all, "every issuer has a CRL");
    is_str(verdict(s->trusts, &deep, NULL), "ok", "chain below an intermediate one in ca");
    sp_snapshot_unref(s);

    s = taken("ca a; certificate c; key k; crl late;", "EVERY client");
    ok(has(verdict(s->trusts, &gcs, NULL), "CRL expired"), "a stale CRL refuses everyone");
    sp_snapshot_unref(s);
    s = taken("ca a; certificate c; key k; crl late; crl_stale allow;", "it counts on");
    is_str(verdict(s->trusts, &gcs, NULL), "ok", "unless the operator says so");
    ok(has(verdict(s->trusts, &drone, NULL), "certificate revoked"), "and still revokes");
    sp_snapshot_unref(s);
    s = taken("ca a; certificate c; key k; crl late; crl_stale grace=30s;", "EVERY client");
    ok(has(verdict(s->trusts, &gcs, NULL), "CRL expired"), "its grace is over");
    sp_snapshot_unref(s);
}

/* -- identities over reloads -- */

static void
test_check(void)
{
    struct sp_snapshot *plain = taken("ca a; certificate c; key k;", NULL),
                       *same = taken("ca a; certificate c; key k; session_lifetime 5m;", NULL);
    struct sp_snapshot *revoking = taken("ca a; certificate c; key k; crl one;", NULL),
                       *clean = taken("ca a; certificate c; key k; crl none;", NULL);
    struct sp_snapshot   *foreign, *stale = taken("ca a; certificate c; key k; crl late;", "EVERY client");
    struct sp_identities *ids = NULL;
    struct sp_identity   *id = NULL, *again = NULL;
    char                  why[1024] = "", *pem = pki_cert_pem(other.cert);
    uint8_t              *der = NULL;
    int                   n = i2d_X509(drone.cert, &der);
    struct sp_str         chain = {(const char *)der, (size_t)n};

    conf_text("other", pem);
    foreign = taken("ca other; certificate c; key k;", NULL);
    ok(memcmp(plain->trusts->digest, same->trusts->digest, 32) == 0, "the digest is of what verdicts rest on");
    ok(memcmp(plain->trusts->digest, clean->trusts->digest, 32) != 0, "a CRL changes it");
    ok(memcmp(plain->trusts->anchors, clean->trusts->anchors, 32) == 0, "but not the anchors");
    ok(memcmp(plain->trusts->anchors, foreign->trusts->anchors, 32) != 0, "as another CA does");

    (void)sp_identities_create(&ids);
    is_int(sp_trust_identity(plain->trusts, ids, SP_ID_CN, chain, &id, why, sizeof(why)), 0, "identity from DER");
    is_int(sp_trust_identity(plain->trusts, ids, SP_ID_CN, chain, &again, why, sizeof(why)), 0, "known then");
    ok(id == again && sp_str_is(id->name, "drone") && id->chain.nlinks == 1, "one identity");
    sp_identity_unref(again);
    is_int(sp_trust_check(plain->trusts, id, why, sizeof(why)), 0, "good where it was verified");
    is_int(sp_trust_check(same->trusts, id, why, sizeof(why)), 0, "and under an equal trust");
    is_int(sp_trust_check(clean->trusts, id, why, sizeof(why)), 0, "and with a CRL that does not name it");
    ok(sp_trust_check(revoking->trusts, id, why, sizeof(why)) < 0 &&
           has(why, "certificate revoked: subject=\"O=Test,CN=drone\" serial=0B"),
       "not with one that does");
    ok(sp_trust_check(stale->trusts, id, why, sizeof(why)) < 0, "nor with a stale one");
    is_int(sp_trust_check(clean->trusts, id, why, sizeof(why)), 0, "good again");
    ok(sp_trust_check(foreign->trusts, id, why, sizeof(why)) < 0 && has(why, "certificate not accepted"),
       "not under another CA");
    ok(!id->verified_ok && sp_trust_check(foreign->trusts, id, why, sizeof(why)) < 0, "which is remembered");
    is_int(sp_trust_check(clean->trusts, id, why, sizeof(why)), 0, "good again under the first");
    id->not_after = (int64_t)time(NULL) - 5;
    ok(sp_trust_check(clean->trusts, id, why, sizeof(why)) < 0 && has(why, "certificate expired"), "until its end");
    sp_identity_unref(id);
    ok(sp_trust_identity(plain->trusts, ids, SP_ID_CN, SP_STR("\x30\x03xx"), &id, why, sizeof(why)) < 0,
       "rubbish is refused");
    ok(sp_trust_identity(revoking->trusts, ids, SP_ID_SAN_DNS, chain, &id, why, sizeof(why)) < 0,
       "a revoked one is not entered");
    sp_identities_destroy(ids);
    OPENSSL_free(der);
    sp_snapshot_unref(plain);
    sp_snapshot_unref(same);
    sp_snapshot_unref(revoking);
    sp_snapshot_unref(clean);
    sp_snapshot_unref(foreign);
    sp_snapshot_unref(stale);
}

static void
test_post_quantum(void)
{
    EVP_PKEY           *key = EVP_PKEY_Q_keygen(NULL, NULL, "ML-DSA-65");
    X509               *x;
    struct sp_snapshot *s;

    if (key == NULL) {
        ok(true, "# SKIP this OpenSSL has no ML-DSA");
        return;
    }
    x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 77);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), DAY);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)"pq", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(ca.cert));
    X509_set_pubkey(x, key);
    X509_sign(x, ca.key, EVP_sha256());
    conf_text("pqc", pki_cert_pem(x));
    conf_text("pqk", pki_key_pem(key, NULL));
    s = taken("ca a; certificate pqc; key pqk; groups X25519MLKEM768;", NULL);
    if (s != NULL) {
        sp_snapshot_unref(s);
    }
    X509_free(x);
    EVP_PKEY_free(key);
}

int
main(void)
{
    ca = pki_make("ca", NULL, 1, -60, 365 * DAY, 1, NULL);
    other = pki_make("other", NULL, 2, -60, DAY, 1, NULL);
    twin = pki_make("ca", NULL, 1, -60, DAY, 1, NULL);
    own = pki_make("gw", &ca, 10, -60, DAY, 0, NULL);
    old_own = pki_make("gw", &ca, 10, -2 * DAY, -DAY, 0, NULL);
    drone = pki_make("drone", &ca, 11, -60, DAY, 0, NULL);
    gcs = pki_make("gcs", &ca, 12, -60, DAY, 0, NULL);
    expired = pki_make("expired", &ca, 13, -2 * DAY, -DAY, 0, NULL);
    future = pki_make("future", &ca, 14, DAY, 2 * DAY, 0, NULL);
    middle = pki_make("middle", &ca, 15, -60, DAY, 1, NULL);
    deep = pki_make("deep", &middle, 16, -60, DAY, 0, NULL);
    test_files();
    test_verdicts();
    test_check();
    test_post_quantum();
    pki_free_texts();
    sp_registry_destroy(conf_registry);
    return done_testing();
}
