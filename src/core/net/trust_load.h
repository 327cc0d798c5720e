/*
 * Certificates, keys and CRLs out of files of a configuration, PEM or DER. Strict: every block of a PEM file must be whole and readable,
 * nothing but white space may follow the last one, nothing that belongs elsewhere may be in it; a file with none of what is
 * looked for is an error. Each error names the argument of the directive and what would help. Private keys are wiped with
 * what they were read from (the source's buffers are not ours).
 */
#ifndef SP_NET_TRUST_LOAD_H
#define SP_NET_TRUST_LOAD_H

#include <openssl/x509.h>

#include "conf/build.h"

/* Appends to `out` (DER order is the file's). 0 or -EINVAL, reported at argument i of node. */
int sp_load_certificates(struct sp_build *b, const struct sp_conf_node *node, unsigned i, STACK_OF(X509) * out);
int sp_load_crls(struct sp_build *b, const struct sp_conf_node *node, unsigned i, STACK_OF(X509_CRL) * out);
/* The one private key in the file; the caller frees it. */
int sp_load_key(struct sp_build *b, const struct sp_conf_node *node, unsigned i, EVP_PKEY **out);

/* The reason that OpenSSL's error queue gives, and an empty queue. Static text or dst. */
const char *sp_load_reason(char *dst, size_t cap);

#endif
