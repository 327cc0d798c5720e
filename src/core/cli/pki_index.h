#ifndef SP_CLI_PKI_INDEX_H
#define SP_CLI_PKI_INDEX_H

#include "cli/pki_file.h"

#include <stdint.h>
#include <time.h>

/*
 * The index: what the CA has issued, and the number of its last CRL.
 * Plain text, one certificate a line, and a last line with the count, so that
 * a cut-off copy is noticed (it would forget revocations):
 *
 *     # comment
 *     crl-number 3
 *     crl-days 30
 *     SERIAL NAME 2026-02-18T19:00:00Z valid
 *     SERIAL NAME 2026-02-18T19:00:00Z revoked 2026-01-02T03:04:05Z keyCompromise
 *     end 2
 *
 * Functions return 0 or a negative errno.
 */

#define SP_PKI_INDEX      "index"
#define SP_PKI_NAME_MAX   64 /* bytes; X.520 ub-common-name */
#define SP_PKI_SERIAL_MAX 40 /* hex digits; RFC 5280 4.1.2.2: 20 octets */
#define SP_PKI_TIME_SIZE  21 /* "2026-02-18T19:00:00Z" and NUL */

enum sp_pki_state { SP_PKI_VALID, SP_PKI_SUPERSEDED, SP_PKI_REVOKED };

struct sp_pki_entry {
    char              serial[SP_PKI_SERIAL_MAX + 1]; /* as BN_bn2hex writes it */
    char              name[SP_PKI_NAME_MAX + 1];
    time_t            not_after;
    enum sp_pki_state state;
    time_t            revoked_at; /* only of a revoked one, like reason */
    int               reason;     /* CRLReason, RFC 5280 5.3.1 */
};

struct sp_pki_index {
    struct sp_pki_entry *entries; /* oldest first */
    size_t               count;
    size_t               size;
    uint64_t             crl_number; /* of the CRL last written; 0: none yet */
    unsigned             crl_days;   /* life of a CRL */
};

void sp_pki_index_init(struct sp_pki_index *index);
void sp_pki_index_free(struct sp_pki_index *index);

/* -EINVAL: why holds "line N: expected ..." */
int sp_pki_index_parse(struct sp_pki_index *index, const char *data, size_t len, char *why, size_t why_size);
/* text: NUL-terminated, freed by the caller */
int sp_pki_index_format(const struct sp_pki_index *index, char **text, size_t *len);

/* These two say on stderr what went wrong. */
int sp_pki_index_load(struct sp_pki_index *index, const struct sp_pki_dir *dir);
int sp_pki_index_save(const struct sp_pki_index *index, const struct sp_pki_dir *dir);

int sp_pki_index_add(struct sp_pki_index *index, const struct sp_pki_entry *entry);

/* The certificate that NAME uses now: its valid one, else its latest; NULL: none.
 * Valid until the next add. */
struct sp_pki_entry *sp_pki_index_find(const struct sp_pki_index *index, const char *name);

/* NULL if name may be used, else what was expected of it. */
const char *sp_pki_name_check(const char *name);

void sp_pki_time_format(time_t when, char out[SP_PKI_TIME_SIZE]);
int  sp_pki_time_parse(const char *text, time_t *when); /* -EINVAL */

const char *sp_pki_state_name(enum sp_pki_state state);

/* CRLReason by name; letter case and hyphens do not matter.  -EINVAL: unknown. */
int         sp_pki_reason_parse(const char *text, int *reason);
const char *sp_pki_reason_name(int reason); /* NULL: not one of ours */
const char *sp_pki_reason_at(size_t i);     /* NULL after the last */

#endif
