#ifndef SP_CLI_PKI_CA_H
#define SP_CLI_PKI_CA_H

#include "cli/pki_index.h"

#include <openssl/x509v3.h>

/*
 * Builds keys, certificates and CRLs (RFC 5280).  No files here.
 * Functions return 0 or a negative errno and have then written one line to
 * stderr.  Objects belong to the caller, who frees them with OpenSSL.
 */

#define SP_PKI_SKEW_S 300 /* notBefore lies this far back, for slow clocks */

struct sp_pki_ca {
    X509     *cert;
    EVP_PKEY *key;
};

struct sp_pki_leaf {
    const char    *name;   /* CN, and the URI sallyport:NAME */
    bool           server; /* serverAuth besides clientAuth */
    GENERAL_NAMES *san;    /* DNS and IP names, or NULL */
    time_t         not_before;
    time_t         not_after;
};

/* type: one of sp_pki_key_type_at.  -EINVAL: unknown; -ENOTSUP: this OpenSSL
 * does not have it. */
int         sp_pki_key_make(const char *type, EVP_PKEY **key);
const char *sp_pki_key_type_at(size_t i); /* NULL after the last */

/* old: the certificate whose subject to keep, or NULL; then cn is used. */
int sp_pki_ca_make(const X509 *old, const char *cn, EVP_PKEY *key, time_t now, unsigned days, X509 **cert);
/* Is it a CA certificate, and this its key?  path: the directory, for the message. */
int sp_pki_ca_check(const struct sp_pki_ca *ca, const char *path);

int sp_pki_leaf_make(const struct sp_pki_ca *ca, const struct sp_pki_leaf *leaf, EVP_PKEY *key, X509 **cert);

/* Lists every revoked entry of the index, under its crl_number and crl_days. */
int sp_pki_crl_make(const struct sp_pki_ca *ca, const struct sp_pki_index *index, time_t now, X509_CRL **crl);

/* "DNS:host" or "IP:address" is added to *san, which is made when NULL. */
int sp_pki_san_add(GENERAL_NAMES **san, const char *text);
/* The DNS and IP names of cert are added to *san. */
int  sp_pki_san_copy(GENERAL_NAMES **san, const X509 *cert);
bool sp_pki_host_ok(const char *host); /* may be a DNS name */

/* What a certificate or CRL says; silent. */
int  sp_pki_cert_serial(const X509 *cert, char serial[SP_PKI_SERIAL_MAX + 1]);
int  sp_pki_cert_not_after(const X509 *cert, time_t *when);
bool sp_pki_cert_is_server(X509 *cert);
int  sp_pki_crl_number(const X509_CRL *crl, uint64_t *number);
int  sp_pki_crl_next_update(const X509_CRL *crl, time_t *when);

#endif
