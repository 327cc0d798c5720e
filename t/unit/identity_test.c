#include "net/identity.h"

#include <errno.h>
#include <openssl/evp.h>

#include "net/revoked.h"
#include "net_pki.h"
#include "tap.h"

static struct sp_identities *table;

static void
name_is(const char *cn, const char *san, enum sp_identity_from from, const char *want)
{
    struct party p = pki_make(cn, NULL, 5, -60, DAY, 0, san);
    char         name[SP_IDENTITY_NAME_MAX + 1], why[1024] = "";
    int          n = sp_identity_name(p.cert, from, name, SP_IDENTITY_NAME_MAX, why, sizeof(why));

    if (want[0] == '!') {
        is_int(n, -EINVAL, "refused: %s", want + 1);
        ok(strstr(why, want + 1) != NULL && strstr(why, "serial=05") != NULL, "says why: %s", why);
    } else {
        name[n > 0 ? n : 0] = '\0';
        is_str(name, want, "name %s", want);
    }
    pki_free(&p);
}

static void
test_names(void)
{
    char long_name[80];

    name_is("drone", NULL, SP_ID_CN, "drone");
    name_is("dröhne", NULL, SP_ID_CN, "dröhne");
    name_is("a|b", NULL, SP_ID_CN, "!several common names");
    name_is("", NULL, SP_ID_CN, "!no common name");
    name_is("anonymous", NULL, SP_ID_CN, "!anonymous");
    name_is("x\ny", NULL, SP_ID_CN, "!control characters");
    name_is("x", "URI:spiffe://fleet/drone,DNS:drone.example", SP_ID_SAN_URI, "spiffe://fleet/drone");
    name_is("x", "URI:spiffe://fleet/drone,DNS:drone.example,DNS:second", SP_ID_SAN_DNS, "drone.example");
    name_is("x", "DNS:drone.example", SP_ID_SAN_URI, "!no alternative name of type URI");
    name_is("x", NULL, SP_ID_SAN_DNS, "!no alternative name of type DNS");
    memset(long_name, 'n', 64);
    long_name[64] = '\0';
    name_is(long_name, NULL, SP_ID_CN, long_name);
}

static struct sp_identity *
add(struct party *p, const char *trust, enum sp_identity_from from)
{
    uint8_t            *der = NULL;
    int                 n = i2d_X509(p->cert, &der);
    struct sp_identity *id = NULL;
    char                why[256];

    is_int(sp_identities_add(table, sp_str_c(trust), from, p->cert, (struct sp_str){(const char *)der, (size_t)n}, &id,
                             why, sizeof(why)),
           0, "add");
    OPENSSL_free(der);
    return id;
}

static void
test_table(void)
{
    struct party p = pki_make("drone", NULL, 0x4f21, -60, DAY, 0, "DNS:d.example"),
                 q = pki_make("gcs", NULL, 2, -60, DAY, 0, NULL);
    struct sp_identity *id = add(&p, "fleet", SP_ID_CN), *same, *other, *fresh;
    uint8_t             fp[32];

    X509_digest(p.cert, EVP_sha256(), fp, NULL);
    is_mem(id->name.p, id->name.n, "drone", 5, "name");
    is_str(id->subject.p, "O=Test,CN=drone", "subject");
    is_str(id->serial_hex.p, "4F21", "serial");
    ok(id->credential == SP_CRED_CERTIFICATE && id->not_after > time(NULL), "certificate and its end");
    ok(memcmp(id->fingerprint, fp, 32) == 0, "fingerprint");
    ok(id->hash == sp_hash(id->name), "hash");

    same = sp_identities_find(table, SP_STR("fleet"), SP_ID_CN, fp);
    ok(same == id, "found again");
    is_int(id->refs, 2, "shared");
    ok(sp_identities_find(table, SP_STR("other"), SP_ID_CN, fp) == NULL, "not under another trust");
    ok(sp_identities_find(table, SP_STR("fleet"), SP_ID_SAN_DNS, fp) == NULL, "not with another name");
    other = add(&p, "fleet", SP_ID_SAN_DNS);
    is_mem(other->name.p, other->name.n, "d.example", 9, "by its alternative name");
    is_int(sp_identities_count(table), 2, "two entries");

    sp_identity_unref(same);
    sp_identity_unref(id);
    same = sp_identities_find(table, SP_STR("fleet"), SP_ID_CN, fp);
    ok(same == id && id->refs == 1, "kept for a while when nobody uses it");

    fresh = add(&p, "fleet", SP_ID_CN);
    ok(fresh != id && id->table == NULL, "replaced by a newer entry");
    sp_identity_unref(same);
    sp_identity_unref(fresh);
    sp_identity_unref(other);

    for (int i = 0; i < SP_IDENTITIES_IDLE + 10; i++) { /* the table itself: other trusts, same certificate */
        char                trust[32], why[64];
        struct sp_identity *one = NULL;
        snprintf(trust, sizeof(trust), "t%d", i);
        (void)sp_identities_add(table, sp_str_c(trust), SP_ID_CN, q.cert, SP_STR("x"), &one, why, sizeof(why));
        sp_identity_unref(one);
    }
    is_int(sp_identities_count(table), SP_IDENTITIES_IDLE, "idle entries are bounded");
    ok(sp_identities_find(table, SP_STR("fleet"), SP_ID_CN, fp) == NULL, "the oldest went");

    id = sp_identities_anonymous(table);
    ok(id->credential == SP_CRED_NONE && sp_str_is(id->name, "anonymous") && id->not_after == 0, "anonymous");
    sp_identity_unref(id);
    pki_free(&p);
    pki_free(&q);
}

static void
test_revoked(void)
{
    struct party     ca = pki_make("ca", NULL, 1, -60, DAY, 1, NULL), twin = pki_make("ca", NULL, 1, -60, DAY, 1, NULL);
    struct party     a = pki_make("a", &ca, 100, -60, DAY, 0, NULL), b = pki_make("b", &ca, 101, -60, DAY, 0, NULL);
    const long       serials[] = {100, 7, 9, 0};
    X509_CRL        *crl = pki_crl(&ca, serials, -60, DAY);
    struct sp_arena *arena = NULL;
    struct sp_revoked   *r = NULL;
    struct sp_chain_link link;
    int64_t              date = 0;

    (void)sp_arena_create(&arena);
    is_int(sp_revoked_build(arena, &crl, &ca.cert, 1, &r), 0, "set of revoked serials");
    is_int(r->nentries, 3, "its entries");
    ok(sp_revoked_link(ca.cert, X509_get0_serialNumber(a.cert), &link) && sp_revoked_find(r, &link, &date), "revoked");
    ok(date <= time(NULL) && date > time(NULL) - 120, "with its date");
    ok(sp_revoked_issuer_find(r, link.issuer) != NULL &&
           sp_revoked_issuer_find(r, link.issuer)->next_update > time(NULL),
       "issuer known");
    ok(sp_revoked_link(ca.cert, X509_get0_serialNumber(b.cert), &link) && !sp_revoked_find(r, &link, NULL),
       "not revoked");
    ok(sp_revoked_link(twin.cert, X509_get0_serialNumber(a.cert), &link) && !sp_revoked_find(r, &link, NULL),
       "another CA of that name");
    ok(sp_revoked_issuer_find(r, link.issuer) == NULL, "which has no CRL here");
    ok(!sp_revoked_find(NULL, &link, NULL), "without any CRL");
    X509_CRL_free(crl);
    sp_arena_destroy(arena);
    pki_free(&ca);
    pki_free(&twin);
    pki_free(&a);
    pki_free(&b);
}

int
main(void)
{
    is_int(sp_identities_create(&table), 0, "create");
    test_names();
    test_table();
    test_revoked();
    sp_identities_destroy(table);
    return done_testing();
}
