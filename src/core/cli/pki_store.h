#ifndef SP_CLI_PKI_STORE_H
#define SP_CLI_PKI_STORE_H

#include "cli/pki_ca.h"
#include "cli/pki_file.h"
#include "cli/pki_index.h"

#include <stdio.h>

/*
 * A CA and its directory: ca.crt, ca.key, ca.crl, index and NAME.crt, NAME.key.
 *
 * The index is the truth, and is written before what it speaks of: a run that
 * dies in between leaves an entry without a certificate, or a CRL older than
 * the index (which the next run notices and rewrites), never a certificate
 * that cannot be revoked.
 *
 * Functions return 0 or a negative errno and have then written one line to
 * stderr.  Notices go to out.
 */

struct sp_pki_store {
    struct sp_pki_dir   dir;
    struct sp_pki_index index;
    struct sp_pki_ca    ca;
    time_t              now;
    FILE               *out;
};

struct sp_pki_new_ca {
    const char *cn; /* NULL: "Sallyport CA " and eight random hex digits */
    const char *key_type;
    unsigned    days;
    unsigned    crl_days;
};

/* How NAME stands; text is for people. */
enum sp_pki_health {
    SP_PKI_FINE,    /* certificate and key are there, fit, have not expired */
    SP_PKI_MISSING, /* never issued */
    SP_PKI_EXPIRED,
    SP_PKI_BROKEN,    /* issued, but the files are missing or do not fit */
    SP_PKI_WITHDRAWN, /* revoked */
    SP_PKI_FOREIGN,   /* files of that name which the index does not know */
};

/* Locks the directory, makes it if create is set.  Does not read it yet. */
int sp_pki_store_lock(struct sp_pki_store *store, const char *path, bool create, time_t now, FILE *out);
/* Reads CA and index.  crl_follows: the caller is going to write the CRL, so a
 * stale one need not be rewritten here. */
int  sp_pki_store_load(struct sp_pki_store *store, bool crl_follows);
void sp_pki_store_close(struct sp_pki_store *store);

int sp_pki_store_has_ca(const struct sp_pki_store *store, bool *found);
/* ca.crt must not be there.  An interrupted init is taken up where it ended. */
int sp_pki_store_make_ca(struct sp_pki_store *store, const struct sp_pki_new_ca *spec);
/* The same subject and key, a new term. */
int sp_pki_store_renew_ca(struct sp_pki_store *store, unsigned days);

int sp_pki_store_write_crl(struct sp_pki_store *store);

int sp_pki_store_inspect(struct sp_pki_store *store, const char *name, enum sp_pki_health *health, const char **text);

/* Signs key as leaf->name, replaces the valid entry of that name, writes the
 * key (if write_key) and the certificate.  The times of leaf are set from now
 * and days, and end no later than the CA's. */
int sp_pki_store_issue(struct sp_pki_store *store, struct sp_pki_leaf *leaf, EVP_PKEY *key, bool write_key,
                       unsigned days);

/* NAME.crt or NAME.key */
#define SP_PKI_FILE_SIZE (SP_PKI_NAME_MAX + 8)
void sp_pki_store_file(char out[SP_PKI_FILE_SIZE], const char *name, const char *suffix);

#endif
