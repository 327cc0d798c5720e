#include "cli/show.h"

#include <errno.h>
#include <stdlib.h>

#define DEPTH_MAX   16
#define COLUMNS_MAX 64
#define NAME_WIDTH  14

/* -- a reader of the JSON that process/status.c writes: no numbers but integers, no spaces -- */

struct reader {
    const char *p, *end;
};

static bool
take(struct reader *r, char c)
{
    if (r->p < r->end && *r->p == c) {
        r->p++;
        return true;
    }
    return false;
}

/* A string as it stands between its quotes. */
static bool
string(struct reader *r, struct sp_str *out)
{
    if (!take(r, '"')) {
        return false;
    }
    const char *start = r->p;
    while (r->p < r->end && *r->p != '"') {
        r->p += *r->p == '\\' && r->p + 1 < r->end ? 2 : 1;
    }
    if (r->p >= r->end) {
        return false;
    }
    *out = (struct sp_str){start, (size_t)(r->p - start)};
    r->p++;
    return true;
}

static bool skip(struct reader *r, unsigned depth);

static bool
skip_members(struct reader *r, char closes, unsigned depth)
{
    struct sp_str name;

    if (take(r, closes)) {
        return true;
    }
    do {
        if (closes == '}' && (!string(r, &name) || !take(r, ':'))) {
            return false;
        }
        if (!skip(r, depth + 1)) {
            return false;
        }
    } while (take(r, ','));
    return take(r, closes);
}

static bool
skip(struct reader *r, unsigned depth)
{
    struct sp_str text;

    if (r->p >= r->end || depth > DEPTH_MAX) {
        return false;
    }
    if (*r->p == '"') {
        return string(r, &text);
    }
    if (*r->p == '{' || *r->p == '[') {
        char closes = *r->p == '{' ? '}' : ']';
        r->p++;
        return skip_members(r, closes, depth);
    }
    const char *start = r->p;
    while (r->p < r->end && strchr(",]}", *r->p) == NULL) {
        r->p++;
    }
    return r->p > start;
}

/* The text of a scalar: a string without its quotes, simple escapes resolved. */
static void
scalar(struct sp_str raw, char *dst, size_t cap)
{
    size_t n = 0;

    if (raw.n >= 2 && raw.p[0] == '"') {
        raw.p++;
        raw.n -= 2;
    }
    for (size_t i = 0; i < raw.n && n + 1 < cap; i++) {
        if (raw.p[i] == '\\' && i + 1 < raw.n && (raw.p[i + 1] == '"' || raw.p[i + 1] == '\\' || raw.p[i + 1] == '/')) {
            i++;
        }
        dst[n++] = raw.p[i];
    }
    dst[n] = '\0';
}

/* -- a table: every row an object of scalars; the columns are all names that occur, in their order -- */

struct table {
    struct sp_str names[COLUMNS_MAX];
    unsigned      ncolumns;
    struct sp_str (*cells)[COLUMNS_MAX]; /* by row; raw slices */
    unsigned nrows;
};

static unsigned
column(struct table *t, struct sp_str name)
{
    unsigned i = 0;

    while (i < t->ncolumns && !sp_str_eq(t->names[i], name)) {
        i++;
    }
    if (i == t->ncolumns && i < COLUMNS_MAX) {
        t->names[i] = name;
        t->ncolumns++;
    }
    return i;
}

/* One object into cells. What is nested in it becomes columns too; lists are left out of the table. */
static bool
members(struct reader *r, struct table *t, struct sp_str *cells, unsigned depth)
{
    if (depth > DEPTH_MAX || !take(r, '{')) {
        return false;
    }
    if (take(r, '}')) {
        return true;
    }
    do {
        struct sp_str name;
        if (!string(r, &name) || !take(r, ':') || r->p >= r->end) {
            return false;
        }
        const char *start = r->p;
        if (*start == '{' ? !members(r, t, cells, depth + 1) : !skip(r, 0)) {
            return false;
        }
        unsigned i = *start == '{' || *start == '[' ? COLUMNS_MAX : column(t, name);
        if (i < COLUMNS_MAX) {
            cells[i] = (struct sp_str){start, (size_t)(r->p - start)};
        }
    } while (take(r, ','));
    return take(r, '}');
}

static bool
rows(struct reader *r, struct table *t)
{
    do {
        struct sp_str(*more)[COLUMNS_MAX] = realloc(t->cells, (t->nrows + 1) * sizeof *more);
        if (more == NULL) {
            return false;
        }
        t->cells = more;
        memset(more[t->nrows], 0, sizeof more[0]);
        if (!members(r, t, more[t->nrows++], 0)) {
            return false;
        }
    } while (take(r, ','));
    return take(r, ']');
}

/* What stands in line i at position k of the table; line 0 (on its side: position 0) holds the names. */
static const char *
cell(const struct table *t, bool side, unsigned i, unsigned k, char *dst, size_t cap)
{
    unsigned row = side ? k : i, col = side ? i : k;

    scalar(row == 0 ? t->names[col] : t->cells[row - 1][col], dst, cap);
    return dst;
}

static unsigned
width_of(const struct table *t, bool side, unsigned k)
{
    char   text[512];
    size_t width = 0;

    for (unsigned i = 0; i < (side ? t->ncolumns : t->nrows + 1); i++) {
        size_t n = strlen(cell(t, side, i, k, text, sizeof text));
        width = n > width ? n : width;
    }
    return (unsigned)width;
}

static unsigned
total_width(const struct table *t, bool side)
{
    unsigned sum = 0;

    for (unsigned k = 0; k < (side ? t->nrows + 1 : t->ncolumns); k++) {
        sum += width_of(t, side, k) + 2;
    }
    return sum;
}

static void
print_table(FILE *out, const struct table *t, unsigned depth)
{
    bool     side = total_width(t, false) > 100 && total_width(t, true) < total_width(t, false);
    unsigned lines = side ? t->ncolumns : t->nrows + 1, places = side ? t->nrows + 1 : t->ncolumns;
    char     text[512];

    for (unsigned i = 0; i < lines; i++) {
        fprintf(out, "%*s", (int)depth * 2, "");
        for (unsigned k = 0; k < places; k++) {
            int width = k + 1 < places ? (int)width_of(t, side, k) : 0;
            fprintf(out, "%-*s%s", width, cell(t, side, i, k, text, sizeof text), k + 1 < places ? "  " : "\n");
        }
    }
}

static bool
table(FILE *out, struct reader *r, unsigned depth)
{
    struct table t = {.ncolumns = 0};
    bool         good = rows(r, &t);

    if (good) {
        print_table(out, &t, depth);
    }
    free(t.cells);
    return good;
}

/* -- the rest -- */

static bool value(FILE *out, struct sp_str name, struct reader *r, unsigned depth);

static bool
object(FILE *out, struct reader *r, unsigned depth, const char *leave_out)
{
    if (depth > DEPTH_MAX || !take(r, '{')) {
        return false;
    }
    if (take(r, '}')) {
        return true;
    }
    do {
        struct sp_str name;
        if (!string(r, &name) || !take(r, ':')) {
            return false;
        }
        if (leave_out != NULL && sp_str_is(name, leave_out) ? !skip(r, 0) : !value(out, name, r, depth)) {
            return false;
        }
    } while (take(r, ','));
    return take(r, '}');
}

static bool
list_of_scalars(FILE *out, struct reader *r, unsigned depth)
{
    char text[512];

    do {
        const char *start = r->p;
        if (!skip(r, 0)) {
            return false;
        }
        scalar((struct sp_str){start, (size_t)(r->p - start)}, text, sizeof text);
        fprintf(out, "%*s%s\n", (int)depth * 2, "", text);
    } while (take(r, ','));
    return take(r, ']');
}

static bool
value(FILE *out, struct sp_str name, struct reader *r, unsigned depth)
{
    char text[2048];

    if (r->p >= r->end) {
        return false;
    }
    const char *start = r->p;
    if (*start == '{') {
        fprintf(out, "%*s%.*s\n", (int)depth * 2, "", SP_STR_ARG(name));
        return object(out, r, depth + 1, NULL);
    }
    if (*start == '[') {
        r->p++;
        fprintf(out, "%*s%.*s\n", (int)depth * 2, "", SP_STR_ARG(name));
        if (take(r, ']')) {
            fprintf(out, "%*snone\n", (int)depth * 2 + 2, "");
            return true;
        }
        return r->p < r->end && *r->p == '{' ? table(out, r, depth + 1) : list_of_scalars(out, r, depth + 1);
    }
    if (!skip(r, 0)) {
        return false;
    }
    scalar((struct sp_str){start, (size_t)(r->p - start)}, text, sizeof text);
    fprintf(out, "%*s%-*.*s  %s\n", (int)depth * 2, "", NAME_WIDTH, SP_STR_ARG(name), text);
    return true;
}

int
sp_show(FILE *out, struct sp_str json, const char *leave_out)
{
    struct reader r = {json.p, json.p + json.n};

    return json.n > 0 && object(out, &r, 0, leave_out) && r.p == r.end ? 0 : -EBADMSG;
}
