#include "cli/pki_cmd.h"

#include "cli/pki_store.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <string.h>

#define HOUR_S 3600
#define DAY_S  86400

static const char *const gateway_san[] = {
    "DNS:localhost",
    "DNS:gateway",
    "IP:127.0.0.1",
    "IP:::1",
};

static const char *const demo_names[] = {
    "gateway", "drone", "gcs", "controller", "operator",
};

static const char *
key_type(const struct sp_pki_run *run)
{
    return run->key_type != NULL ? run->key_type : "ec";
}

static unsigned
days_or(const struct sp_pki_run *run, unsigned days)
{
    return run->days != 0 ? run->days : days;
}

static int
open_store(struct sp_pki_store *store, const struct sp_pki_run *run, bool crl_follows)
{
    int rc = sp_pki_store_lock(store, run->dir, false, run->now, run->out);

    return rc < 0 ? rc : sp_pki_store_load(store, crl_follows);
}

static const char *
entry_name_at(size_t i, const void *arg)
{
    const struct sp_pki_index *index = arg;

    return i < index->count ? index->entries[i].name : NULL;
}

/* The entry of run->name, or -ENOENT with a message. */
static int
find_entry(const struct sp_pki_store *store, const char *name, struct sp_pki_entry **entry)
{
    const char *near;

    *entry = sp_pki_index_find(&store->index, name);
    if (*entry != NULL) {
        return 0;
    }
    near = sp_pki_suggest(name, entry_name_at, &store->index);
    sp_pki_error("%s/index: knows no certificate of '%s'%s%s%s; expected a name that "
                 "'sallyport pki list' shows",
                 store->dir.path, name, near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
                 near != NULL ? "'?)" : "");
    return -ENOENT;
}

static void
say_issued(const struct sp_pki_store *store, const char *verb, const char *name)
{
    const struct sp_pki_entry *entry = sp_pki_index_find(&store->index, name);
    char                       when[SP_PKI_TIME_SIZE];

    sp_pki_time_format(entry->not_after, when);
    fprintf(store->out, "%s %s: %s/%s.crt, serial %s, until %s\n", verb, name, store->dir.path, name, entry->serial,
            when);
}

static void
say_ca(const struct sp_pki_store *store, const char *verb)
{
    char   when[SP_PKI_TIME_SIZE] = "?";
    time_t end;

    if (sp_pki_cert_not_after(store->ca.cert, &end) == 0) {
        sp_pki_time_format(end, when);
    }
    fprintf(store->out, "%s CA: %s/ca.crt, until %s\n", verb, store->dir.path, when);
}

static void
say_crl(const struct sp_pki_store *store)
{
    char   when[SP_PKI_TIME_SIZE];
    size_t i, revoked = 0;

    for (i = 0; i < store->index.count; i++) {
        revoked += store->index.entries[i].state == SP_PKI_REVOKED;
    }
    sp_pki_time_format(store->now + (time_t)store->index.crl_days * DAY_S, when);
    fprintf(store->out,
            "wrote CRL: %s/ca.crl, number %" PRIu64 ", %zu revoked, "
            "next update by %s\n",
            store->dir.path, store->index.crl_number, revoked, when);
}

int
sp_pki_cmd_init(const struct sp_pki_run *run)
{
    struct sp_pki_new_ca spec = {
        .cn = run->cn,
        .key_type = key_type(run),
        .days = days_or(run, SP_PKI_CA_DAYS),
        .crl_days = SP_PKI_CRL_DAYS,
    };
    struct sp_pki_store store;
    bool                found;
    int                 rc;

    rc = sp_pki_store_lock(&store, run->dir, true, run->now, run->out);
    if (rc == 0) {
        rc = sp_pki_store_has_ca(&store, &found);
    }
    if (rc == 0 && found) {
        sp_pki_error("%s/ca.crt: there is a CA already; expected a directory without one "
                     "('sallyport pki renew ca' prolongs it)",
                     store.dir.path);
        rc = -EEXIST;
    }
    if (rc == 0) {
        rc = sp_pki_store_make_ca(&store, &spec);
    }
    if (rc == 0) {
        say_ca(&store, "made");
        say_crl(&store);
    }
    sp_pki_store_close(&store);
    return rc;
}

/* Servers are found by name: one without --san goes by its own, if it can. */
static int
default_san(const char *name, GENERAL_NAMES **san)
{
    char text[4 + SP_PKI_NAME_MAX + 1];

    if (!sp_pki_host_ok(name)) {
        sp_pki_error("%s: not a host name; expected --san DNS:HOST or --san IP:ADDRESS "
                     "with --server",
                     name);
        return -EINVAL;
    }
    snprintf(text, sizeof(text), "DNS:%s", name);
    return sp_pki_san_add(san, text);
}

/* A new key and certificate.  san: as in struct sp_pki_leaf. */
static int
issue_anew(struct sp_pki_store *store, const struct sp_pki_run *run, const char *name, bool server, GENERAL_NAMES *san)
{
    struct sp_pki_leaf leaf = {.name = name, .server = server, .san = san};
    EVP_PKEY          *key;
    int                rc = sp_pki_key_make(key_type(run), &key);

    if (rc < 0) {
        return rc;
    }
    rc = sp_pki_store_issue(store, &leaf, key, true, days_or(run, SP_PKI_LEAF_DAYS));
    EVP_PKEY_free(key);
    return rc;
}

static int
refuse_foreign(const struct sp_pki_store *store, const char *name)
{
    sp_pki_error("%s/%s.crt or .key: there, but unknown to %s/index; expected no such file "
                 "(move it away)",
                 store->dir.path, name, store->dir.path);
    return -EEXIST;
}

int
sp_pki_cmd_issue(const struct sp_pki_run *run)
{
    struct sp_pki_store store;
    enum sp_pki_health  health;
    GENERAL_NAMES      *san = NULL;
    const char         *text;
    int                 rc;

    rc = open_store(&store, run, false);
    if (rc == 0) {
        rc = sp_pki_store_inspect(&store, run->name, &health, &text);
    }
    if (rc < 0) {
        goto out;
    }
    if (health == SP_PKI_FINE) {
        sp_pki_error("%s/%s.crt: %s has a valid certificate already; expected 'sallyport "
                     "pki renew %s'",
                     store.dir.path, run->name, run->name, run->name);
        rc = -EEXIST;
    } else if (health == SP_PKI_BROKEN) {
        sp_pki_error("%s/%s.crt: %s has a valid certificate in the index, but %s; expected "
                     "'sallyport pki revoke %s' before it is issued anew",
                     store.dir.path, run->name, run->name, text, run->name);
        rc = -EEXIST;
    } else if (health == SP_PKI_FOREIGN) {
        rc = refuse_foreign(&store, run->name);
    } else if (run->server && run->san == NULL) {
        rc = default_san(run->name, &san);
    }
    if (rc == 0) {
        rc = issue_anew(&store, run, run->name, run->server, run->san != NULL ? run->san : san);
    }
    if (rc == 0) {
        say_issued(&store, "issued", run->name);
    }
out:
    GENERAL_NAMES_free(san);
    sp_pki_store_close(&store);
    return rc;
}

/* Marks all certificates of name, but not the one called except. */
static size_t
revoke_entries(struct sp_pki_store *store, const char *name, const char *except, int reason)
{
    struct sp_pki_entry *entry;
    size_t               i, marked = 0;

    for (i = 0; i < store->index.count; i++) {
        entry = &store->index.entries[i];
        if (strcmp(entry->name, name) != 0 || entry->state == SP_PKI_REVOKED ||
            (except != NULL && strcmp(entry->serial, except) == 0)) {
            continue;
        }
        entry->state = SP_PKI_REVOKED;
        entry->revoked_at = store->now;
        entry->reason = reason;
        marked++;
    }
    return marked;
}

/* The old certificate says whether it was a server and by which names. */
static int
inherit(struct sp_pki_store *store, const struct sp_pki_run *run, struct sp_pki_leaf *leaf, GENERAL_NAMES **san)
{
    char  file[SP_PKI_FILE_SIZE];
    X509 *old;
    int   rc;

    sp_pki_store_file(file, run->name, ".crt");
    rc = sp_pki_cert_read(&store->dir, file, &old);
    if (rc < 0) {
        sp_pki_error("%s: a renewal copies the names of the old certificate; without it, "
                     "expected 'sallyport pki revoke %s' and then 'issue'",
                     run->name, run->name);
        return rc;
    }
    if (X509_verify(old, store->ca.key) != 1) {
        ERR_clear_error();
        sp_pki_error("%s/%s: expected a certificate that this CA has signed", store->dir.path, file);
        rc = -EINVAL;
        goto out;
    }
    leaf->server = run->server || sp_pki_cert_is_server(old);
    if (run->san != NULL && !leaf->server) {
        sp_pki_error("%s: not a server; expected --server with --san", run->name);
        rc = -EINVAL;
    } else if (run->san == NULL) {
        rc = sp_pki_san_copy(san, old);
        if (rc == 0 && leaf->server && *san == NULL) {
            rc = default_san(run->name, san);
        }
    }
    leaf->san = run->san != NULL ? run->san : *san;
out:
    X509_free(old);
    return rc;
}

static int
renew_leaf(struct sp_pki_store *store, const struct sp_pki_run *run)
{
    struct sp_pki_leaf   leaf = {.name = run->name};
    struct sp_pki_entry *entry;
    GENERAL_NAMES       *san = NULL;
    EVP_PKEY            *key = NULL;
    char                 file[SP_PKI_FILE_SIZE];
    int                  rc;

    rc = find_entry(store, run->name, &entry);
    if (rc == 0 && entry->state == SP_PKI_REVOKED) {
        sp_pki_error("%s: revoked, and so not renewed; expected 'sallyport pki issue %s'", run->name, run->name);
        rc = -EINVAL;
    }
    if (rc == 0) {
        rc = inherit(store, run, &leaf, &san);
    }
    if (rc == 0 && run->new_key) {
        rc = sp_pki_key_make(key_type(run), &key);
    } else if (rc == 0) {
        sp_pki_store_file(file, run->name, ".key");
        rc = sp_pki_key_read(&store->dir, file, &key);
    }
    if (rc == 0) {
        rc = sp_pki_store_issue(store, &leaf, key, run->new_key, days_or(run, SP_PKI_LEAF_DAYS));
    }
    if (rc == 0) {
        say_issued(store, run->new_key ? "rekeyed" : "renewed", run->name);
    }
    if (rc == 0 && run->revoke_old) {
        entry = sp_pki_index_find(&store->index, run->name);
        revoke_entries(store, run->name, entry->serial, run->reason);
        rc = sp_pki_store_write_crl(store);
        if (rc == 0) {
            say_crl(store);
        }
    }
    EVP_PKEY_free(key);
    GENERAL_NAMES_free(san);
    return rc;
}

int
sp_pki_cmd_renew(const struct sp_pki_run *run)
{
    struct sp_pki_store store;
    int                 rc = open_store(&store, run, false);

    if (rc == 0 && strcmp(run->name, "ca") == 0) {
        rc = sp_pki_store_renew_ca(&store, days_or(run, SP_PKI_CA_DAYS));
        if (rc == 0) {
            say_ca(&store, "renewed");
        }
    } else if (rc == 0) {
        rc = renew_leaf(&store, run);
    }
    sp_pki_store_close(&store);
    return rc;
}

int
sp_pki_cmd_revoke(const struct sp_pki_run *run)
{
    struct sp_pki_store  store;
    struct sp_pki_entry *entry;
    char                 when[SP_PKI_TIME_SIZE];
    size_t               marked;
    int                  rc;

    rc = open_store(&store, run, true);
    if (rc == 0) {
        rc = find_entry(&store, run->name, &entry);
    }
    if (rc < 0) {
        goto out;
    }
    marked = revoke_entries(&store, run->name, NULL, run->reason);
    rc = sp_pki_store_write_crl(&store);
    if (rc < 0) {
        goto out;
    }
    if (marked > 0) {
        fprintf(run->out, "revoked %s: %zu certificate%s, %s\n", run->name, marked, marked == 1 ? "" : "s",
                sp_pki_reason_name(run->reason));
    } else {
        sp_pki_time_format(entry->revoked_at, when);
        fprintf(run->out, "%s was revoked at %s (%s); that stands\n", run->name, when,
                sp_pki_reason_name(entry->reason));
    }
    say_crl(&store);
out:
    sp_pki_store_close(&store);
    return rc;
}

int
sp_pki_cmd_crl(const struct sp_pki_run *run)
{
    struct sp_pki_store store;
    int                 rc = open_store(&store, run, true);

    if (rc == 0) {
        store.index.crl_days = days_or(run, store.index.crl_days);
        rc = sp_pki_store_write_crl(&store);
    }
    if (rc == 0) {
        say_crl(&store);
    }
    sp_pki_store_close(&store);
    return rc;
}

static int
demo_leaf(struct sp_pki_store *store, const struct sp_pki_run *run, const char *name)
{
    enum sp_pki_health health;
    GENERAL_NAMES     *san = NULL;
    const char        *text;
    bool               server = strcmp(name, demo_names[0]) == 0;
    size_t             i;
    int                rc = sp_pki_store_inspect(store, name, &health, &text);

    if (rc < 0) {
        return rc;
    }
    if (health == SP_PKI_FINE) {
        say_issued(store, "kept", name);
        return 0;
    }
    if (health == SP_PKI_WITHDRAWN) {
        fprintf(store->out, "kept %s: revoked ('sallyport pki issue %s%s' makes a new one)\n", name, name,
                server ? " --server --san ..." : "");
        return 0;
    }
    if (health == SP_PKI_FOREIGN) {
        return refuse_foreign(store, name);
    }
    for (i = 0; rc == 0 && server && i < sizeof(gateway_san) / sizeof(gateway_san[0]); i++) {
        rc = sp_pki_san_add(&san, gateway_san[i]);
    }
    if (health == SP_PKI_BROKEN) {
        fprintf(store->out, "%s: %s\n", name, text);
    }
    if (rc == 0 && health == SP_PKI_EXPIRED) {
        struct sp_pki_run renewal = *run;

        renewal.name = name;
        renewal.new_key = false;
        rc = renew_leaf(store, &renewal);
    } else if (rc == 0) {
        rc = issue_anew(store, run, name, server, san);
        if (rc == 0) {
            say_issued(store, "issued", name);
        }
    }
    GENERAL_NAMES_free(san);
    return rc;
}

static int
demo_ca(struct sp_pki_store *store, const struct sp_pki_run *run)
{
    struct sp_pki_new_ca spec = {
        .cn = run->cn,
        .key_type = key_type(run),
        .days = SP_PKI_CA_DAYS,
        .crl_days = days_or(run, SP_PKI_LEAF_DAYS), /* the demo runs as long as its leaves */
    };
    time_t end;
    bool   found;
    int    rc;

    if (spec.days < spec.crl_days) {
        spec.days = spec.crl_days;
    }
    rc = sp_pki_store_has_ca(store, &found);
    if (rc == 0 && !found) {
        rc = sp_pki_store_make_ca(store, &spec);
        if (rc == 0) {
            say_ca(store, "made");
            say_crl(store);
        }
        return rc;
    }
    if (rc == 0) {
        rc = sp_pki_store_load(store, false);
    }
    if (rc < 0) {
        return rc;
    }
    if (sp_pki_cert_not_after(store->ca.cert, &end) < 0 || end <= store->now) {
        rc = sp_pki_store_renew_ca(store, spec.days);
        if (rc == 0) {
            say_ca(store, "renewed");
        }
    } else {
        say_ca(store, "kept");
    }
    return rc;
}

/* A CRL past its term makes every certificate fail. */
static int
demo_crl(struct sp_pki_store *store)
{
    X509_CRL *crl;
    time_t    next = 0;
    int       rc = sp_pki_crl_read(&store->dir, "ca.crl", &crl);

    if (rc < 0) {
        return rc;
    }
    if (sp_pki_crl_next_update(crl, &next) < 0 || next <= store->now + HOUR_S) {
        rc = sp_pki_store_write_crl(store);
        if (rc == 0) {
            say_crl(store);
        }
    }
    X509_CRL_free(crl);
    return rc;
}

int
sp_pki_cmd_demo(const struct sp_pki_run *run)
{
    struct sp_pki_store store;
    size_t              i;
    int                 rc;

    rc = sp_pki_store_lock(&store, run->dir, true, run->now, run->out);
    if (rc == 0) {
        rc = demo_ca(&store, run);
    }
    for (i = 0; rc == 0 && i < sizeof(demo_names) / sizeof(demo_names[0]); i++) {
        rc = demo_leaf(&store, run, demo_names[i]);
    }
    if (rc == 0) {
        rc = demo_crl(&store);
    }
    sp_pki_store_close(&store);
    return rc;
}
