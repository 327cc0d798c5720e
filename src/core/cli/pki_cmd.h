#ifndef SP_CLI_PKI_CMD_H
#define SP_CLI_PKI_CMD_H

#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/*
 * The subcommands of sallyport pki, after the command line was parsed and its
 * values were checked.  Each returns 0 or a negative errno; what went wrong is
 * then on stderr.
 */

#define SP_PKI_CA_DAYS   3650
#define SP_PKI_LEAF_DAYS 90
#define SP_PKI_CRL_DAYS  30
#define SP_PKI_DAYS_MAX  36500

struct sp_pki_run {
    const char    *dir;
    const char    *name;     /* NULL where the command takes none */
    const char    *cn;       /* NULL: one is made up */
    const char    *key_type; /* NULL: ec */
    GENERAL_NAMES *san;      /* owned by the caller; NULL: none given */
    unsigned       days;     /* 0: the command's default */
    int            reason;   /* CRLReason */
    bool           server;
    bool           new_key;
    bool           revoke_old;
    bool           json;
    time_t         now;
    FILE          *out;
};

int sp_pki_cmd_init(const struct sp_pki_run *run);
int sp_pki_cmd_issue(const struct sp_pki_run *run);
int sp_pki_cmd_renew(const struct sp_pki_run *run); /* name may be "ca" */
int sp_pki_cmd_revoke(const struct sp_pki_run *run);
int sp_pki_cmd_crl(const struct sp_pki_run *run);
int sp_pki_cmd_list(const struct sp_pki_run *run); /* pki_list.c; takes no lock */
int sp_pki_cmd_demo(const struct sp_pki_run *run);

/* The nearest of n words, or NULL if none is near. */
const char *sp_pki_suggest(const char *word, const char *(*word_at)(size_t i, const void *arg), const void *arg);

#endif
