#include "cli/pki_ca.h"
#include "cli/pki_cmd.h"
#include "cli/pki_file.h"
#include "cli/pki_index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

/* Worst first: what is in use before what is history, then by its end. */
enum rank { IN_USE, SUPERSEDED, REVOKED };

struct row {
    const char *kind; /* ca, crl, certificate */
    char        name[SP_PKI_NAME_MAX + 1];
    char        serial[SP_PKI_SERIAL_MAX + 1]; /* of a CRL: its number */
    const char *state;
    time_t      end;
    enum rank   rank;
    time_t      revoked_at;
    const char *reason; /* NULL: not revoked */
};

static int
compare_rows(const void *a, const void *b)
{
    const struct row *x = a;
    const struct row *y = b;

    if (x->rank != y->rank) {
        return x->rank < y->rank ? -1 : 1;
    }
    if (x->end != y->end) {
        return x->end < y->end ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static long long
days_left(time_t end, time_t now)
{
    long long left = (long long)end - (long long)now;

    return left >= 0 ? left / DAY_S : -((-left + DAY_S - 1) / DAY_S);
}

static int
add_ca(struct row *row, const struct sp_pki_dir *dir, time_t now)
{
    X509 *cert;
    int   rc = sp_pki_cert_read(dir, "ca.crt", &cert);

    if (rc < 0) {
        return rc;
    }
    row->kind = "ca";
    strcpy(row->name, "ca");
    if (sp_pki_cert_serial(cert, row->serial) < 0 || sp_pki_cert_not_after(cert, &row->end) < 0) {
        sp_pki_error("%s/ca.crt: expected a serial number of at most 20 octets and an end", dir->path);
        rc = -EINVAL;
    }
    row->state = row->end <= now ? "expired" : "valid";
    X509_free(cert);
    return rc;
}

static int
add_crl(struct row *row, const struct sp_pki_dir *dir, const struct sp_pki_index *index, time_t now)
{
    X509_CRL *crl;
    uint64_t  number = 0;
    int       rc = sp_pki_crl_read(dir, "ca.crl", &crl);

    if (rc < 0) {
        return rc;
    }
    row->kind = "crl";
    strcpy(row->name, "ca.crl");
    if (sp_pki_crl_number(crl, &number) < 0 || sp_pki_crl_next_update(crl, &row->end) < 0) {
        sp_pki_error("%s/ca.crl: expected a CRL with crlNumber and nextUpdate", dir->path);
        rc = -EINVAL;
    }
    snprintf(row->serial, sizeof(row->serial), "%" PRIu64, number);
    row->state = number < index->crl_number ? "stale" : row->end <= now ? "expired" : "valid";
    X509_CRL_free(crl);
    return rc;
}

static void
add_entry(struct row *row, const struct sp_pki_entry *entry, time_t now)
{
    row->kind = "certificate";
    strcpy(row->name, entry->name);
    strcpy(row->serial, entry->serial);
    row->end = entry->not_after;
    row->state = sp_pki_state_name(entry->state);
    switch (entry->state) {
    case SP_PKI_VALID:
        if (entry->not_after <= now) {
            row->state = "expired";
        }
        break;
    case SP_PKI_SUPERSEDED:
        row->rank = SUPERSEDED;
        break;
    case SP_PKI_REVOKED:
        row->rank = REVOKED;
        row->revoked_at = entry->revoked_at;
        row->reason = sp_pki_reason_name(entry->reason);
        break;
    }
}

static void
print_table(FILE *out, const struct row *rows, size_t count, time_t now)
{
    char   when[SP_PKI_TIME_SIZE];
    size_t i;
    int    width = 4, len;

    for (i = 0; i < count; i++) {
        len = (int)strlen(rows[i].name);
        width = len > width ? len : width;
    }
    fprintf(out, "%-*s  %-32s  %-10s  %-20s  %s\n", width, "NAME", "SERIAL", "STATE", "EXPIRES", "DAYS LEFT");
    for (i = 0; i < count; i++) {
        sp_pki_time_format(rows[i].end, when);
        fprintf(out, "%-*s  %-32s  %-10s  %-20s  %lld", width, rows[i].name, rows[i].serial, rows[i].state, when,
                days_left(rows[i].end, now));
        if (rows[i].reason != NULL) {
            sp_pki_time_format(rows[i].revoked_at, when);
            fprintf(out, "  (%s, %s)", rows[i].reason, when);
        }
        fputc('\n', out);
    }
}

/* Every string here is one of ours or was checked when the index was read. */
static void
print_json(FILE *out, const struct row *rows, size_t count, time_t now)
{
    char   when[SP_PKI_TIME_SIZE];
    size_t i;

    fputc('[', out);
    for (i = 0; i < count; i++) {
        sp_pki_time_format(rows[i].end, when);
        fprintf(out,
                "%s\n  {\"kind\": \"%s\", \"name\": \"%s\", \"serial\": \"%s\", "
                "\"state\": \"%s\", \"expires\": \"%s\", \"days_left\": %lld",
                i == 0 ? "" : ",", rows[i].kind, rows[i].name, rows[i].serial, rows[i].state, when,
                days_left(rows[i].end, now));
        if (rows[i].reason != NULL) {
            sp_pki_time_format(rows[i].revoked_at, when);
            fprintf(out, ", \"revoked_at\": \"%s\", \"reason\": \"%s\"", when, rows[i].reason);
        }
        fputc('}', out);
    }
    fputs("\n]\n", out);
}

int
sp_pki_cmd_list(const struct sp_pki_run *run)
{
    struct sp_pki_dir   dir;
    struct sp_pki_index index;
    struct row         *rows = NULL;
    size_t              i;
    int                 rc;

    sp_pki_index_init(&index);
    rc = sp_pki_dir_open(&dir, run->dir, 0, 0);
    if (rc < 0) {
        return rc;
    }
    rc = sp_pki_index_load(&index, &dir);
    if (rc < 0) {
        goto out;
    }
    rows = calloc(index.count + 2, sizeof(*rows));
    if (rows == NULL) {
        sp_pki_error("out of memory");
        rc = -ENOMEM;
        goto out;
    }
    rc = add_ca(&rows[0], &dir, run->now);
    if (rc == 0) {
        rc = add_crl(&rows[1], &dir, &index, run->now);
    }
    if (rc < 0) {
        goto out;
    }
    for (i = 0; i < index.count; i++) {
        add_entry(&rows[i + 2], &index.entries[i], run->now);
    }
    qsort(rows, index.count + 2, sizeof(*rows), compare_rows);
    (run->json ? print_json : print_table)(run->out, rows, index.count + 2, run->now);
out:
    free(rows);
    sp_pki_index_free(&index);
    sp_pki_dir_close(&dir);
    return rc;
}
