#include "cli/pki_index.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 7
#define DAYS_MAX   36500
#define HEADER                                                                                                         \
    "# sallyport pki index: serial, name, notAfter, state [, revoked at, reason]\n"                                    \
    "# The CRL is made from this file: do not remove lines.\n"

static const struct {
    const char *name;
    int         code;
} reasons[] = {
    {"unspecified", 0}, {"keyCompromise", 1},        {"affiliationChanged", 3},
    {"superseded", 4},  {"cessationOfOperation", 5}, {"privilegeWithdrawn", 9},
};

static const char *const states[] = {"valid", "superseded", "revoked"};

void
sp_pki_index_init(struct sp_pki_index *index)
{
    memset(index, 0, sizeof(*index));
    index->crl_days = 30;
}

void
sp_pki_index_free(struct sp_pki_index *index)
{
    free(index->entries);
    sp_pki_index_init(index);
}

const char *
sp_pki_name_check(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-@";
    size_t            len = strlen(name);

    if (len == 0 || len > SP_PKI_NAME_MAX) {
        return "expected 1 to 64 characters of A-Z a-z 0-9 . _ - @";
    }
    if (strspn(name, allowed) != len) {
        return "expected only A-Z a-z 0-9 . _ - @";
    }
    if (name[0] == '.' || name[0] == '-') {
        return "expected a name that begins with neither a dot nor a hyphen";
    }
    if (strcmp(name, "ca") == 0) {
        return "expected another name: 'ca' is the CA itself";
    }
    return NULL;
}

void
sp_pki_time_format(time_t when, char out[SP_PKI_TIME_SIZE])
{
    struct tm tm;

    if (gmtime_r(&when, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900 ||
        strftime(out, SP_PKI_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        memcpy(out, "0000-00-00T00:00:00Z", SP_PKI_TIME_SIZE);
    }
}

int
sp_pki_time_parse(const char *text, time_t *when)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    char              again[SP_PKI_TIME_SIZE];
    struct tm         tm = {0};
    size_t            i;

    for (i = 0; i < sizeof(shape) - 1; i++) {
        if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i]) {
            return -EINVAL;
        }
    }
    if (text[i] != '\0') {
        return -EINVAL;
    }
    tm.tm_year = atoi(text) - 1900;
    tm.tm_mon = atoi(text + 5) - 1;
    tm.tm_mday = atoi(text + 8);
    tm.tm_hour = atoi(text + 11);
    tm.tm_min = atoi(text + 14);
    tm.tm_sec = atoi(text + 17);
    *when = timegm(&tm);

    /* timegm turns February 30 into March 2 */
    sp_pki_time_format(*when, again);
    return strcmp(text, again) == 0 ? 0 : -EINVAL;
}

const char *
sp_pki_state_name(enum sp_pki_state state)
{
    return states[state];
}

static bool
same_word(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (*a == '-') {
            a++;
        }
        while (*b == '-') {
            b++;
        }
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) {
            return false;
        }
        if (*a == '\0') {
            return true;
        }
    }
}

int
sp_pki_reason_parse(const char *text, int *reason)
{
    size_t i;

    for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (same_word(text, reasons[i].name)) {
            *reason = reasons[i].code;
            return 0;
        }
    }
    return -EINVAL;
}

const char *
sp_pki_reason_name(int reason)
{
    size_t i;

    for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].code == reason) {
            return reasons[i].name;
        }
    }
    return NULL;
}

const char *
sp_pki_reason_at(size_t i)
{
    return i < sizeof(reasons) / sizeof(reasons[0]) ? reasons[i].name : NULL;
}

int
sp_pki_index_add(struct sp_pki_index *index, const struct sp_pki_entry *entry)
{
    struct sp_pki_entry *grown;
    size_t               size;

    if (index->count == index->size) {
        size = index->size == 0 ? 16 : index->size * 2;
        grown = reallocarray(index->entries, size, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        index->entries = grown;
        index->size = size;
    }
    index->entries[index->count++] = *entry;
    return 0;
}

struct sp_pki_entry *
sp_pki_index_find(const struct sp_pki_index *index, const char *name)
{
    struct sp_pki_entry *entry, *latest = NULL;
    size_t               i;

    for (i = index->count; i-- > 0;) {
        entry = &index->entries[i];
        if (strcmp(entry->name, name) != 0) {
            continue;
        }
        if (entry->state == SP_PKI_VALID) {
            return entry;
        }
        if (latest == NULL) {
            latest = entry;
        }
    }
    return latest;
}

static size_t
split_fields(char *line, char *fields[FIELDS_MAX])
{
    size_t n = 0;
    char  *save = NULL, *word;

    for (word = strtok_r(line, " \t", &save); word != NULL && n < FIELDS_MAX; word = strtok_r(NULL, " \t", &save)) {
        fields[n++] = word;
    }
    return n;
}

static int
parse_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0, digit;

    if (*text == '\0') {
        return -EINVAL;
    }
    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text)) {
            return -EINVAL;
        }
        digit = (uint64_t)(*text - '0');
        if (value > (max - digit) / 10) {
            return -EINVAL;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return 0;
}

/* Returns NULL, or what was expected. */
static const char *
parse_entry(char **field, size_t n, struct sp_pki_entry *entry)
{
    size_t len = strlen(field[0]);
    size_t i;

    memset(entry, 0, sizeof(*entry));
    if (n != 4 && n != 6) {
        return "expected SERIAL NAME NOTAFTER STATE, and for a revoked one also the time "
               "and the reason";
    }
    if (len > SP_PKI_SERIAL_MAX || strspn(field[0], "0123456789ABCDEF") != len) {
        return "expected a serial of up to 40 hex digits (0-9 A-F) in the first field";
    }
    if (sp_pki_name_check(field[1]) != NULL) {
        return "expected a name of 1 to 64 A-Z a-z 0-9 . _ - @ in the second field";
    }
    if (sp_pki_time_parse(field[2], &entry->not_after) < 0) {
        return "expected a time such as 2026-02-18T19:00:00Z in the third field";
    }
    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(field[3], states[i]) == 0) {
            break;
        }
    }
    if (i == sizeof(states) / sizeof(states[0])) {
        return "expected valid, superseded or revoked in the fourth field";
    }
    entry->state = (enum sp_pki_state)i;
    if ((entry->state == SP_PKI_REVOKED) != (n == 6)) {
        return "expected the time and the reason after 'revoked', and only there";
    }
    if (n == 6 &&
        (sp_pki_time_parse(field[4], &entry->revoked_at) < 0 || sp_pki_reason_parse(field[5], &entry->reason) < 0)) {
        return "expected a time such as 2026-02-18T19:00:00Z and a reason such as "
               "keyCompromise after 'revoked'";
    }
    strcpy(entry->serial, field[0]);
    strcpy(entry->name, field[1]);
    return NULL;
}

/* ended: set by the line "end N".  Returns NULL, or what was expected. */
static const char *
parse_line(struct sp_pki_index *index, char *line, bool *ended)
{
    struct sp_pki_entry entry;
    char               *field[FIELDS_MAX];
    const char         *expected;
    uint64_t            value = 0;
    size_t              n;

    if (*ended) {
        return "expected nothing after the line 'end N'";
    }
    n = split_fields(line, field);
    if (n == 0 || field[0][0] == '#') {
        return NULL;
    }
    if (strcmp(field[0], "end") == 0) {
        if (n != 2 || parse_number(field[1], UINT64_MAX, &value) < 0 || value != index->count) {
            return "expected 'end N' with N the number of certificates above; lines seem "
                   "to be missing or added";
        }
        *ended = true;
        return NULL;
    }
    if (strcmp(field[0], "crl-number") == 0) {
        if (n != 2 || parse_number(field[1], UINT64_MAX - 1, &index->crl_number) < 0) {
            return "expected 'crl-number N'";
        }
        return NULL;
    }
    if (strcmp(field[0], "crl-days") == 0) {
        if (n != 2 || parse_number(field[1], DAYS_MAX, &value) < 0 || value == 0) {
            return "expected 'crl-days N' with N from 1 to 36500";
        }
        index->crl_days = (unsigned)value;
        return NULL;
    }
    expected = parse_entry(field, n, &entry);
    if (expected == NULL && sp_pki_index_add(index, &entry) < 0) {
        return "out of memory; expected a shorter file";
    }
    return expected;
}

int
sp_pki_index_parse(struct sp_pki_index *index, const char *data, size_t len, char *why, size_t why_size)
{
    const char *end = data + len;
    const char *stop, *expected = NULL;
    size_t      line_no = 0;
    bool        ended = false;
    char        line[512];

    while (data < end) {
        line_no++;
        stop = memchr(data, '\n', (size_t)(end - data));
        if (stop == NULL) {
            expected = "expected a whole line, ended by a newline; the file is cut off";
        } else if ((size_t)(stop - data) >= sizeof(line) || memchr(data, '\0', (size_t)(stop - data)) != NULL) {
            expected = "expected a line of text of at most 511 bytes";
        } else {
            memcpy(line, data, (size_t)(stop - data));
            line[stop - data] = '\0';
            expected = parse_line(index, line, &ended);
        }
        if (expected != NULL) {
            snprintf(why, why_size, "line %zu: %s", line_no, expected);
            return -EINVAL;
        }
        data = stop + 1;
    }
    if (!ended) {
        snprintf(why, why_size, "line %zu: expected a last line 'end N'; the file is cut off", line_no + 1);
        return -EINVAL;
    }
    return 0;
}

int
sp_pki_index_format(const struct sp_pki_index *index, char **text, size_t *len)
{
    const struct sp_pki_entry *entry;
    char                       when[SP_PKI_TIME_SIZE];
    FILE                      *out = open_memstream(text, len);
    size_t                     i;
    bool                       failed;

    if (out == NULL) {
        return -ENOMEM;
    }
    fprintf(out, HEADER "crl-number %" PRIu64 "\ncrl-days %u\n", index->crl_number, index->crl_days);
    for (i = 0; i < index->count; i++) {
        entry = &index->entries[i];
        sp_pki_time_format(entry->not_after, when);
        fprintf(out, "%s %s %s %s", entry->serial, entry->name, when, states[entry->state]);
        if (entry->state == SP_PKI_REVOKED) {
            sp_pki_time_format(entry->revoked_at, when);
            fprintf(out, " %s %s", when, sp_pki_reason_name(entry->reason));
        }
        fputc('\n', out);
    }
    fprintf(out, "end %zu\n", index->count);
    failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(*text);
        *text = NULL;
        return -ENOMEM;
    }
    return 0;
}

int
sp_pki_index_load(struct sp_pki_index *index, const struct sp_pki_dir *dir)
{
    char   why[256];
    char  *data;
    size_t len;
    int    rc;

    rc = sp_pki_file_read(dir, SP_PKI_INDEX, SP_PKI_LARGE_MAX,
                          "the list of issued certificates that belongs to ca.crt "
                          "(without it revocations would be forgotten)",
                          &data, &len);
    if (rc < 0) {
        return rc;
    }
    rc = sp_pki_index_parse(index, data, len, why, sizeof(why));
    if (rc < 0) {
        sp_pki_error("%s/" SP_PKI_INDEX ": %s", dir->path, why);
    }
    sp_pki_file_free(data, len);
    return rc;
}

int
sp_pki_index_save(const struct sp_pki_index *index, const struct sp_pki_dir *dir)
{
    char  *text;
    size_t len;
    int    rc = sp_pki_index_format(index, &text, &len);

    if (rc < 0) {
        sp_pki_error("%s/" SP_PKI_INDEX ": out of memory", dir->path);
        return rc;
    }
    rc = sp_pki_file_write(dir, SP_PKI_INDEX, 0644, text, len);
    free(text);
    return rc;
}
