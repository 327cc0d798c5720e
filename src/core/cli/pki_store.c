#include "cli/pki_store.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

#define LOCK_MS 30000
#define DAY_S   86400

void
sp_pki_store_file(char out[SP_PKI_FILE_SIZE], const char *name, const char *suffix)
{
    snprintf(out, SP_PKI_FILE_SIZE, "%.*s%.6s", SP_PKI_NAME_MAX, name, suffix);
}

int
sp_pki_store_lock(struct sp_pki_store *store, const char *path, bool create, time_t now, FILE *out)
{
    memset(store, 0, sizeof(*store));
    sp_pki_index_init(&store->index);
    store->now = now;
    store->out = out;
    return sp_pki_dir_open(&store->dir, path, SP_PKI_DIR_LOCK | (create ? SP_PKI_DIR_CREATE : 0), LOCK_MS);
}

void
sp_pki_store_close(struct sp_pki_store *store)
{
    X509_free(store->ca.cert);
    EVP_PKEY_free(store->ca.key);
    store->ca.cert = NULL;
    store->ca.key = NULL;
    sp_pki_index_free(&store->index);
    sp_pki_dir_close(&store->dir);
}

int
sp_pki_store_has_ca(const struct sp_pki_store *store, bool *found)
{
    return sp_pki_file_exists(&store->dir, "ca.crt", found);
}

/* stale: the CRL does not say what the index says */
static int
check_crl(struct sp_pki_store *store, const char **stale)
{
    X509_CRL *crl = NULL;
    uint64_t  number;
    bool      found;
    int       rc;

    *stale = NULL;
    rc = sp_pki_file_exists(&store->dir, "ca.crl", &found);
    if (rc < 0) {
        return rc;
    }
    if (!found) {
        *stale = "was missing";
        return 0;
    }
    if (sp_pki_crl_read(&store->dir, "ca.crl", &crl) < 0) {
        *stale = "could not be read";
        return 0;
    }
    if (X509_CRL_verify(crl, X509_get0_pubkey(store->ca.cert)) != 1) {
        ERR_clear_error();
        *stale = "was not signed by this CA";
    } else if (sp_pki_crl_number(crl, &number) < 0 || number < store->index.crl_number) {
        *stale = "was older than the index";
    } else if (number > store->index.crl_number) {
        sp_pki_error("%s/index: expected crl-number %" PRIu64 " or more, as ca.crl has; "
                     "the index is older than the CRL, and revocations may be missing",
                     store->dir.path, number);
        rc = -EINVAL;
    }
    X509_CRL_free(crl);
    return rc;
}

int
sp_pki_store_load(struct sp_pki_store *store, bool crl_follows)
{
    const char *stale;
    int         rc;

    rc = sp_pki_cert_read(&store->dir, "ca.crt", &store->ca.cert);
    if (rc == 0) {
        rc = sp_pki_key_read(&store->dir, "ca.key", &store->ca.key);
    }
    if (rc == 0) {
        rc = sp_pki_ca_check(&store->ca, store->dir.path);
    }
    if (rc == 0) {
        rc = sp_pki_index_load(&store->index, &store->dir);
    }
    if (rc == 0) {
        rc = check_crl(store, &stale);
    }
    if (rc == 0 && stale != NULL && !crl_follows) {
        rc = sp_pki_store_write_crl(store);
        if (rc == 0) {
            fprintf(store->out, "ca.crl %s; written anew (number %" PRIu64 ")\n", stale, store->index.crl_number);
        }
    }
    return rc;
}

int
sp_pki_store_write_crl(struct sp_pki_store *store)
{
    X509_CRL *crl = NULL;
    int       rc;

    store->index.crl_number++;
    rc = sp_pki_crl_make(&store->ca, &store->index, store->now, &crl);
    if (rc == 0) {
        rc = sp_pki_index_save(&store->index, &store->dir);
    }
    if (rc == 0) {
        rc = sp_pki_crl_write(&store->dir, "ca.crl", crl);
    }
    X509_CRL_free(crl);
    return rc;
}

/* What an interrupted init left: a key, and perhaps an empty index. */
static int
adopt_leftovers(struct sp_pki_store *store)
{
    bool has_key, has_index;
    int  rc;

    rc = sp_pki_file_exists(&store->dir, "ca.key", &has_key);
    if (rc == 0) {
        rc = sp_pki_file_exists(&store->dir, SP_PKI_INDEX, &has_index);
    }
    if (rc == 0 && has_index) {
        rc = sp_pki_index_load(&store->index, &store->dir);
    }
    if (rc == 0 && store->index.count > 0) {
        sp_pki_error("%s/ca.crt: missing, yet %s/index lists certificates; expected the CA "
                     "that issued them (or choose another --dir)",
                     store->dir.path, store->dir.path);
        rc = -EEXIST;
    }
    if (rc == 0 && has_key) {
        rc = sp_pki_key_read(&store->dir, "ca.key", &store->ca.key);
        if (rc == 0) {
            fprintf(store->out, "ca.key was there without ca.crt; its key is used\n");
        }
    }
    return rc;
}

int
sp_pki_store_make_ca(struct sp_pki_store *store, const struct sp_pki_new_ca *spec)
{
    unsigned char tail[4];
    char          cn[40];
    int           rc;

    if (RAND_bytes(tail, sizeof(tail)) != 1) {
        sp_pki_error_ssl("no random numbers");
        return -EIO;
    }
    snprintf(cn, sizeof(cn), "Sallyport CA %02x%02x%02x%02x", tail[0], tail[1], tail[2], tail[3]);

    rc = adopt_leftovers(store);
    if (rc == 0 && store->ca.key == NULL) {
        rc = sp_pki_key_make(spec->key_type, &store->ca.key);
        if (rc == 0) {
            rc = sp_pki_key_write(&store->dir, "ca.key", store->ca.key);
        }
    }
    if (rc == 0) {
        rc = sp_pki_ca_make(NULL, spec->cn != NULL ? spec->cn : cn, store->ca.key, store->now, spec->days,
                            &store->ca.cert);
    }
    if (rc == 0) {
        store->index.crl_days = spec->crl_days;
        rc = sp_pki_store_write_crl(store);
    }
    /* ca.crt comes last: where it is, all the rest is */
    if (rc == 0) {
        rc = sp_pki_cert_write(&store->dir, "ca.crt", store->ca.cert);
    }
    return rc;
}

int
sp_pki_store_renew_ca(struct sp_pki_store *store, unsigned days)
{
    X509 *cert;
    int   rc = sp_pki_ca_make(store->ca.cert, NULL, store->ca.key, store->now, days, &cert);

    if (rc < 0) {
        return rc;
    }
    X509_free(store->ca.cert);
    store->ca.cert = cert;
    return sp_pki_cert_write(&store->dir, "ca.crt", cert);
}

static enum sp_pki_health
inspect_files(struct sp_pki_store *store, const char *name, const struct sp_pki_entry *entry, const char **text)
{
    enum sp_pki_health health = SP_PKI_BROKEN;
    char               file[SP_PKI_FILE_SIZE];
    char               serial[SP_PKI_SERIAL_MAX + 1] = "";
    X509              *cert = NULL;
    EVP_PKEY          *key = NULL;
    time_t             not_after = 0;

    sp_pki_store_file(file, name, ".crt");
    if (sp_pki_cert_read(&store->dir, file, &cert) < 0) {
        *text = "its certificate could not be read";
        goto out;
    }
    if (X509_verify(cert, store->ca.key) != 1) {
        *text = "its certificate was not signed by this CA";
        goto out;
    }
    if (sp_pki_cert_serial(cert, serial) < 0 || strcmp(serial, entry->serial) != 0 ||
        sp_pki_cert_not_after(cert, &not_after) < 0) {
        *text = "its certificate is not the one in the index";
        goto out;
    }
    sp_pki_store_file(file, name, ".key");
    if (sp_pki_key_read(&store->dir, file, &key) < 0) {
        *text = "its key could not be read";
        goto out;
    }
    if (X509_check_private_key(cert, key) != 1) {
        *text = "its key does not fit its certificate";
        goto out;
    }
    health = not_after <= store->now ? SP_PKI_EXPIRED : SP_PKI_FINE;
    *text = health == SP_PKI_FINE ? "valid" : "expired";
out:
    ERR_clear_error();
    X509_free(cert);
    EVP_PKEY_free(key);
    return health;
}

int
sp_pki_store_inspect(struct sp_pki_store *store, const char *name, enum sp_pki_health *health, const char **text)
{
    const struct sp_pki_entry *entry = sp_pki_index_find(&store->index, name);
    char                       file[SP_PKI_FILE_SIZE];
    bool                       has_cert, has_key;
    int                        rc;

    sp_pki_store_file(file, name, ".crt");
    rc = sp_pki_file_exists(&store->dir, file, &has_cert);
    if (rc == 0) {
        sp_pki_store_file(file, name, ".key");
        rc = sp_pki_file_exists(&store->dir, file, &has_key);
    }
    if (rc < 0) {
        return rc;
    }
    if (entry == NULL) {
        *health = has_cert || has_key ? SP_PKI_FOREIGN : SP_PKI_MISSING;
        *text = has_cert || has_key ? "files that the index does not know" : "missing";
    } else if (entry->state == SP_PKI_REVOKED) {
        *health = SP_PKI_WITHDRAWN;
        *text = "revoked";
    } else if (!has_cert || !has_key) {
        *health = SP_PKI_BROKEN;
        *text = has_cert ? "its key is missing" : "its certificate is missing";
    } else {
        *health = inspect_files(store, name, entry, text);
    }
    return 0;
}

static int
set_term(const struct sp_pki_store *store, struct sp_pki_leaf *leaf, unsigned days)
{
    char   when[SP_PKI_TIME_SIZE];
    time_t ca_end;

    if (sp_pki_cert_not_after(store->ca.cert, &ca_end) < 0) {
        sp_pki_error("%s/ca.crt: expected a certificate with an end (notAfter)", store->dir.path);
        return -EINVAL;
    }
    sp_pki_time_format(ca_end, when);
    if (ca_end <= store->now) {
        sp_pki_error("%s/ca.crt: the CA expired at %s; expected a valid one "
                     "('sallyport pki renew ca' prolongs it with the same key)",
                     store->dir.path, when);
        return -EINVAL;
    }
    leaf->not_before = store->now - SP_PKI_SKEW_S;
    leaf->not_after = store->now + (time_t)days * DAY_S;
    if (leaf->not_after > ca_end) {
        leaf->not_after = ca_end;
        fprintf(store->out, "%s: ends with its CA at %s, before its %u days are over\n", leaf->name, when, days);
    }
    return 0;
}

int
sp_pki_store_issue(struct sp_pki_store *store, struct sp_pki_leaf *leaf, EVP_PKEY *key, bool write_key, unsigned days)
{
    struct sp_pki_entry  entry = {.state = SP_PKI_VALID};
    struct sp_pki_entry *old;
    char                 file[SP_PKI_FILE_SIZE];
    X509                *cert = NULL;
    int                  rc;

    rc = set_term(store, leaf, days);
    if (rc == 0) {
        rc = sp_pki_leaf_make(&store->ca, leaf, key, &cert);
    }
    if (rc < 0) {
        return rc;
    }
    snprintf(entry.name, sizeof(entry.name), "%s", leaf->name);
    entry.not_after = leaf->not_after;
    rc = sp_pki_cert_serial(cert, entry.serial);
    if (rc < 0) {
        sp_pki_error("%s: the new serial number does not fit the index", leaf->name);
        goto out;
    }

    old = sp_pki_index_find(&store->index, leaf->name);
    if (old != NULL && old->state == SP_PKI_VALID) {
        old->state = SP_PKI_SUPERSEDED;
    }
    rc = sp_pki_index_add(&store->index, &entry);
    if (rc < 0) {
        sp_pki_error("out of memory");
        goto out;
    }
    rc = sp_pki_index_save(&store->index, &store->dir);
    if (rc == 0 && write_key) {
        sp_pki_store_file(file, leaf->name, ".key");
        rc = sp_pki_key_write(&store->dir, file, key);
    }
    if (rc == 0) {
        sp_pki_store_file(file, leaf->name, ".crt");
        rc = sp_pki_cert_write(&store->dir, file, cert);
    }
out:
    X509_free(cert);
    return rc;
}
