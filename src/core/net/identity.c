#include "net/identity.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct sp_identities {
    struct sp_map       map;
    struct sp_identity *anonymous;
    struct sp_identity *idle; /* most recently used first */
    struct sp_identity *idle_last;
    size_t              nidle;
};

int64_t
sp_identity_time(const ASN1_TIME *t)
{
    struct tm tm;

    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1) {
        return INT64_MAX;
    }
    return (int64_t)timegm(&tm);
}

const char *
sp_identity_subject(const X509_NAME *name, char *dst, size_t cap)
{
    BIO  *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long  n = 0;

    dst[0] = '\0';
    if (bio == NULL) {
        return dst;
    }
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        n = BIO_get_mem_data(bio, &text);
    }
    if (n > 0) {
        (void)sp_str_escape(dst, cap, (struct sp_str){text, (size_t)n});
    }
    BIO_free(bio);
    return dst;
}

const char *
sp_identity_serial(const ASN1_INTEGER *serial, char *dst, size_t cap)
{
    static const char digits[] = "0123456789ABCDEF";
    const uint8_t    *bytes = ASN1_STRING_get0_data(serial);
    int               n = ASN1_STRING_length(serial), shown = n > 32 ? 32 : n;
    size_t            at = 0;

    for (int i = 0; i < shown && at + 6 < cap; i++) {
        dst[at++] = digits[bytes[i] >> 4];
        dst[at++] = digits[bytes[i] & 15];
    }
    if (shown < n) {
        memcpy(dst + at, "...", 3);
        at += 3;
    }
    dst[at] = '\0';
    return dst;
}

const char *
sp_identity_describe(X509 *cert, char *dst, size_t cap)
{
    char subject[512], serial[80];

    (void)snprintf(dst, cap, "subject=\"%s\" serial=%s",
                   sp_identity_subject(X509_get_subject_name(cert), subject, sizeof(subject)),
                   sp_identity_serial(X509_get0_serialNumber(cert), serial, sizeof(serial)));
    return dst;
}

/* -- names -- */

static int
refuse_name(const char *text, X509 *leaf, char *why, size_t cap)
{
    char described[640];

    (void)snprintf(why, cap, "%s: %s", text, sp_identity_describe(leaf, described, sizeof(described)));
    return -EINVAL;
}

static const char *
name_fault(struct sp_str name)
{
    if (name.n == 0) {
        return "certificate has an empty name";
    }
    if (name.n > SP_IDENTITY_NAME_MAX) {
        return "certificate has too long a name";
    }
    if (!sp_utf8_valid(name)) {
        return "the certificate's name is not UTF-8";
    }
    for (size_t i = 0; i < name.n; i++) {
        if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f) {
            return "the certificate's name has control characters";
        }
    }
    return sp_str_is(name, "anonymous") ? "the certificate's name is \"anonymous\", which stands for peers without one"
                                        : NULL;
}

static int
common_name(X509 *leaf, unsigned char **text, const char **fault)
{
    const X509_NAME *subject = X509_get_subject_name(leaf);
    int              at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)subject, NID_commonName, -1);

    if (at < 0) {
        *fault = "certificate has no common name";
        return -1;
    }
    if (X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)subject, NID_commonName, at) >= 0) {
        *fault = "certificate has several common names";
        return -1;
    }
    return ASN1_STRING_to_UTF8(text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

/* The first name of the kind. */
static int
alternative_name(X509 *leaf, int kind, unsigned char **text, const char **fault)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int            n = -1;

    *fault = kind == GEN_URI ? "certificate has no alternative name of type URI"
                             : "certificate has no alternative name of type DNS";
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && n < 0; i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);
        if (one->type == kind) {
            n = ASN1_STRING_to_UTF8(text, kind == GEN_URI ? one->d.uniformResourceIdentifier : one->d.dNSName);
        }
    }
    GENERAL_NAMES_free(all);
    return n;
}

int
sp_identity_name(X509 *leaf, enum sp_identity_from from, char *dst, size_t cap, char *why, size_t why_cap)
{
    unsigned char *text = NULL;
    const char    *fault = "the certificate's name cannot be read";
    int            n;

    if (from == SP_ID_CN) {
        n = common_name(leaf, &text, &fault);
    } else {
        n = alternative_name(leaf, from == SP_ID_SAN_URI ? GEN_URI : GEN_DNS, &text, &fault);
    }
    if (n >= 0) {
        fault = name_fault((struct sp_str){(const char *)text, (size_t)n});
    }
    if (n < 0 || fault != NULL || (size_t)n > cap) {
        OPENSSL_free(text);
        return refuse_name(fault == NULL ? "certificate has too long a name" : fault, leaf, why, why_cap);
    }
    memcpy(dst, text, (size_t)n);
    OPENSSL_free(text);
    return n;
}

/* -- the table -- */

#define KEY_MAX (32 + 1 + 256)

static size_t
make_key(char key[KEY_MAX], struct sp_str trust, enum sp_identity_from from, const uint8_t fingerprint[32])
{
    size_t n = trust.n < 256 ? trust.n : 256;

    memcpy(key, fingerprint, 32);
    key[32] = (char)from;
    memcpy(key + 33, trust.p, n);
    return 33 + n;
}

static struct sp_str
place(char **at, struct sp_str s)
{
    struct sp_str copy = {*at, s.n};

    memcpy(*at, s.p, s.n);
    (*at)[s.n] = '\0';
    *at += s.n + 1;
    return copy;
}

/* One allocation: the struct, then the texts. */
static struct sp_identity *
make(struct sp_str name, struct sp_str subject, struct sp_str serial, struct sp_str key, struct sp_str chain)
{
    struct sp_identity *id = calloc(1, sizeof(*id) + name.n + subject.n + serial.n + key.n + chain.n + 5);
    char               *at;

    if (id == NULL) {
        return NULL;
    }
    at = (char *)(id + 1);
    id->refs = 1;
    id->name = place(&at, name);
    id->subject = place(&at, subject);
    id->serial_hex = place(&at, serial);
    id->key = place(&at, key);
    id->chain_der = place(&at, chain);
    id->hash = sp_hash(id->name);
    return id;
}

int
sp_identities_create(struct sp_identities **out)
{
    struct sp_identities *t = calloc(1, sizeof(*t));
    const struct sp_str   none = SP_STR("");

    if (t == NULL) {
        return -ENOMEM;
    }
    t->anonymous = make(SP_STR("anonymous"), none, none, none, none);
    if (t->anonymous == NULL) {
        free(t);
        return -ENOMEM;
    }
    t->anonymous->verified_ok = true;
    *out = t;
    return 0;
}

static void
idle_remove(struct sp_identities *t, struct sp_identity *id)
{
    if (id->idle_prev == NULL) {
        return;
    }
    if (t->idle_last == id) {
        t->idle_last =
            id->idle_prev == &t->idle
                ? NULL
                : (struct sp_identity *)(void *)((char *)id->idle_prev - offsetof(struct sp_identity, idle_next));
    }
    *id->idle_prev = id->idle_next;
    if (id->idle_next != NULL) {
        id->idle_next->idle_prev = id->idle_prev;
    }
    id->idle_next = NULL;
    id->idle_prev = NULL;
    t->nidle--;
}

static void
release(struct sp_identity *id)
{
    free(id->why);
    free(id);
}

static void
forget(struct sp_identities *t, struct sp_identity *id)
{
    idle_remove(t, id);
    if (sp_map_get(&t->map, id->key) == id) {
        (void)sp_map_remove(&t->map, id->key);
    }
    id->table = NULL;
    if (id->refs == 0) {
        release(id);
    }
}

void
sp_identities_destroy(struct sp_identities *t)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    if (t == NULL) {
        return;
    }
    while ((e = sp_map_next(&t->map, &pos)) != NULL) {
        struct sp_identity *id = e->value;
        id->table = NULL;
        if (id->refs == 0) {
            release(id);
        }
    }
    sp_map_clear(&t->map);
    sp_identity_unref(t->anonymous);
    free(t);
}

struct sp_identity *
sp_identities_find(struct sp_identities *t, struct sp_str trust, enum sp_identity_from from,
                   const uint8_t fingerprint[32])
{
    char                key[KEY_MAX];
    size_t              n = make_key(key, trust, from, fingerprint);
    struct sp_identity *id = sp_map_get(&t->map, (struct sp_str){key, n});

    if (id == NULL) {
        return NULL;
    }
    if (id->refs++ == 0) {
        idle_remove(t, id);
    }
    return id;
}

int
sp_identities_add(struct sp_identities *t, struct sp_str trust, enum sp_identity_from from, X509 *leaf,
                  struct sp_str chain_der, struct sp_identity **out, char *why, size_t cap)
{
    char                name[SP_IDENTITY_NAME_MAX], subject[512], serial[80], key[KEY_MAX];
    uint8_t             fingerprint[32];
    struct sp_identity *id;
    void               *old = NULL;
    int                 n = sp_identity_name(leaf, from, name, sizeof(name), why, cap);

    if (n < 0) {
        return n;
    }
    if (X509_digest(leaf, EVP_sha256(), fingerprint, NULL) != 1) {
        return -ENOMEM;
    }
    id = make((struct sp_str){name, (size_t)n},
              sp_str_c(sp_identity_subject(X509_get_subject_name(leaf), subject, sizeof(subject))),
              sp_str_c(sp_identity_serial(X509_get0_serialNumber(leaf), serial, sizeof(serial))),
              (struct sp_str){key, make_key(key, trust, from, fingerprint)}, chain_der);
    if (id == NULL || sp_map_put(&t->map, id->key, id, &old) < 0) {
        free(id);
        (void)snprintf(why, cap, "out of memory");
        return -ENOMEM;
    }
    id->credential = SP_CRED_CERTIFICATE;
    memcpy(id->fingerprint, fingerprint, 32);
    id->not_after = sp_identity_time(X509_get0_notAfter(leaf));
    id->table = t;
    if (old != NULL) { /* it lives on with those who hold it */
        forget(t, old);
    }
    *out = id;
    return 0;
}

struct sp_identity *
sp_identities_anonymous(struct sp_identities *t)
{
    return sp_identity_ref(t->anonymous);
}

size_t
sp_identities_count(const struct sp_identities *t)
{
    return t->map.count;
}

static void
idle_insert(struct sp_identities *t, struct sp_identity *id)
{
    id->idle_next = t->idle;
    id->idle_prev = &t->idle;
    if (t->idle != NULL) {
        t->idle->idle_prev = &id->idle_next;
    } else {
        t->idle_last = id;
    }
    t->idle = id;
    if (++t->nidle > SP_IDENTITIES_IDLE) {
        forget(t, t->idle_last);
    }
}

void
sp_identity_unref(struct sp_identity *id)
{
    if (id == NULL || --id->refs > 0) {
        return;
    }
    if (id->table == NULL) {
        release(id);
    } else {
        idle_insert(id->table, id);
    }
}
