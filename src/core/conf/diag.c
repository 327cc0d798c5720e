#include "conf/diag.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/text.h"

#define MESSAGE_MAX      1000
#define HINT_MAX         600
#define NOTES_MAX        6 /* per error */
#define LINE_MAX_COLUMNS 160
#define LINE_BEFORE      100 /* columns kept in front of the marked token when a line is cut */

struct item {
    struct item     *next; /* of the same kind of list: the next item, or the next note */
    struct item     *notes, *last_note;
    unsigned         nnotes;
    unsigned         order; /* of the file: by first appearance */
    enum sp_severity severity;
    struct sp_pos    pos;
    char            *message, *hint;
};

struct sp_diag {
    struct sp_arena            *arena;
    struct item                *items, *last; /* last: what a note belongs to; NULL while that is not shown */
    struct item               **tail;
    unsigned                    errors, warnings, shown_errors, shown_warnings;
    const struct sp_conf_file **files;
    unsigned                    nfiles, files_cap;
    struct sp_text              text;
};

int
sp_diag_create(struct sp_diag **out)
{
    struct sp_diag *d = calloc(1, sizeof(*d));
    int             err;

    if (d == NULL) {
        return -ENOMEM;
    }
    err = sp_arena_create(&d->arena);
    if (err < 0) {
        free(d);
        return err;
    }
    d->tail = &d->items;
    *out = d;
    return 0;
}

void
sp_diag_destroy(struct sp_diag *d)
{
    if (d == NULL) {
        return;
    }
    sp_arena_destroy(d->arena);
    sp_text_free(&d->text);
    free(d->files);
    free(d);
}

unsigned
sp_diag_errors(const struct sp_diag *d)
{
    return d->errors;
}

unsigned
sp_diag_warnings(const struct sp_diag *d)
{
    return d->warnings;
}

static unsigned
file_order(struct sp_diag *d, const struct sp_conf_file *file)
{
    if (file == NULL) {
        return 0;
    }
    for (unsigned i = 0; i < d->nfiles; i++) {
        if (d->files[i] == file) {
            return i + 1;
        }
    }
    if (d->nfiles == d->files_cap) {
        unsigned                    cap = d->files_cap == 0 ? 8 : d->files_cap * 2;
        const struct sp_conf_file **files = realloc(d->files, cap * sizeof(*files));
        if (files == NULL) {
            return d->nfiles + 1;
        }
        d->files = files;
        d->files_cap = cap;
    }
    d->files[d->nfiles++] = file;
    return d->nfiles;
}

static struct item *
item_create(struct sp_diag *d, enum sp_severity s, struct sp_pos pos, const char *hint, const char *fmt, va_list ap)
{
    struct item *it = sp_arena_alloc(d->arena, sizeof(*it));
    char         message[MESSAGE_MAX];

    (void)vsnprintf(message, sizeof(message), fmt, ap);
    it->severity = s;
    it->pos = pos;
    it->message = sp_arena_printf(d->arena, "%s", message);
    it->hint = hint == NULL ? NULL : sp_arena_printf(d->arena, "%.*s", HINT_MAX, hint);
    return it;
}

static bool
counts(struct sp_diag *d, enum sp_severity s)
{
    if (s == SP_ERROR) {
        d->errors++;
        return d->shown_errors < SP_DIAG_MAX && ++d->shown_errors > 0;
    }
    d->warnings++;
    return d->shown_warnings < SP_DIAG_MAX && ++d->shown_warnings > 0;
}

void
sp_diag_vadd(struct sp_diag *d, enum sp_severity s, struct sp_pos pos, const char *hint, const char *fmt, va_list ap)
{
    struct item *it;

    if (s == SP_NOTE) {
        if (d->last == NULL || d->last->nnotes == NOTES_MAX) {
            return;
        }
        it = item_create(d, s, pos, hint, fmt, ap);
        if (d->last->notes == NULL) {
            d->last->notes = it;
        } else {
            d->last->last_note->next = it;
        }
        d->last->last_note = it;
        d->last->nnotes++;
        return;
    }
    if (!counts(d, s)) {
        d->last = NULL;
        return;
    }
    it = item_create(d, s, pos, hint, fmt, ap);
    it->order = file_order(d, pos.file);
    *d->tail = it;
    d->tail = &it->next;
    d->last = it;
}

void
sp_diag_add(struct sp_diag *d, enum sp_severity s, struct sp_pos pos, const char *hint, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sp_diag_vadd(d, s, pos, hint, fmt, ap);
    va_end(ap);
}

static struct sp_str
line_of(const struct sp_conf_file *file, uint32_t line)
{
    struct sp_str rest = file->text, part = {NULL, 0};

    for (uint32_t i = 0; i < line; i++) {
        if (rest.p == NULL) {
            return (struct sp_str){NULL, 0};
        }
        part = sp_str_cut(&rest, '\n');
    }
    if (part.n > 0 && part.p[part.n - 1] == '\r') {
        part.n--;
    }
    return part;
}

/* The length of one character at p as it takes one column in a terminal; 0: a byte that must not be printed as it is. */
static size_t
character(struct sp_str s, size_t at)
{
    unsigned char c = (unsigned char)s.p[at];
    size_t        n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

    if (c == '\t') {
        return 1;
    }
    if (c < 0x20 || c == 0x7f || n > s.n - at || !sp_utf8_valid((struct sp_str){s.p + at, n})) {
        return 0;
    }
    /* U+0080 .. U+009F are controls too */
    return n == 2 && c == 0xc2 && (unsigned char)s.p[at + 1] < 0xa0 ? 0 : n;
}

/* Appends the bytes [from, to) of a line, or (blank) as much blank space as they take. Returns the columns. */
static unsigned
print_part(struct sp_text *t, struct sp_str line, size_t from, size_t to, bool blank)
{
    unsigned columns = 0;

    while (from < to && from < line.n) {
        size_t n = character(line, from);
        bool   tab = line.p[from] == '\t';
        if (blank) {
            sp_text_add(t, tab ? SP_STR("\t") : SP_STR(" "));
        } else if (n == 0) {
            sp_text_add(t, SP_STR("?"));
        } else {
            sp_text_add(t, (struct sp_str){line.p + from, n});
        }
        from += n == 0 ? 1 : n;
        columns++;
    }
    return columns;
}

static unsigned
columns_of(struct sp_str line, size_t from, size_t to)
{
    unsigned columns = 0;

    while (from < to && from < line.n) {
        size_t n = character(line, from);
        from += n == 0 ? 1 : n;
        columns++;
    }
    return columns;
}

static void
print_marks(struct sp_text *t, struct sp_str line, size_t at, const struct sp_pos *pos)
{
    unsigned width = columns_of(line, at, at + pos->width);

    if (at + pos->width > line.n && width == 0) {
        width = 1;
    }
    if (width > LINE_MAX_COLUMNS - LINE_BEFORE) {
        width = LINE_MAX_COLUMNS - LINE_BEFORE;
    }
    sp_text_add(t, SP_STR("^"));
    for (unsigned i = 1; i < width; i++) {
        sp_text_add(t, SP_STR("~"));
    }
}

static void
print_excerpt(struct sp_text *t, const struct item *it)
{
    struct sp_str line = line_of(it->pos.file, it->pos.line);
    size_t        at = it->pos.col == 0 ? 0 : it->pos.col - 1, from = 0, to = line.n;
    int           digits = snprintf(NULL, 0, "%u", it->pos.line);

    if (at > line.n) {
        at = line.n;
    }
    if (line.n > LINE_MAX_COLUMNS) {
        from = at > LINE_BEFORE ? at - LINE_BEFORE : 0;
        to = line.n - from > LINE_MAX_COLUMNS ? from + LINE_MAX_COLUMNS : line.n;
        while (from > 0 && from < at && ((unsigned char)line.p[from] & 0xc0) == 0x80) {
            from++;
        }
        while (to > at && to < line.n && ((unsigned char)line.p[to] & 0xc0) == 0x80) {
            to--;
        }
    }
    sp_text_printf(t, " %u | %s", it->pos.line, from > 0 ? "..." : "");
    (void)print_part(t, line, from, to, false);
    sp_text_printf(t, "%s\n %*s | %s", to < line.n ? "..." : "", digits, "", from > 0 ? "   " : "");
    (void)print_part(t, line, from, at, true);
    print_marks(t, (struct sp_str){line.p, to}, at, &it->pos);
    if (it->hint != NULL) {
        sp_text_printf(t, " %s", it->hint);
    }
    sp_text_add(t, SP_STR("\n"));
}

static void
print_item(struct sp_text *t, const struct item *it)
{
    static const char *const names[] = {"error", "warning", "note"};
    char                     path[512];

    if (it->pos.file != NULL) {
        sp_text_printf(t, "%s:", sp_str_escape(path, sizeof(path), it->pos.file->path));
        if (it->pos.line > 0) {
            sp_text_printf(t, "%u:%u:", it->pos.line, it->pos.col);
        }
        sp_text_add(t, SP_STR(" "));
    }
    sp_text_printf(t, "%s: %s", names[it->severity], it->message);
    if (it->pos.file != NULL && it->pos.line > 0) {
        sp_text_add(t, SP_STR("\n"));
        print_excerpt(t, it);
    } else {
        sp_text_printf(t, "%s%s\n", it->hint == NULL ? "" : ": ", it->hint == NULL ? "" : it->hint);
    }
    for (const struct item *note = it->notes; note != NULL && it->severity != SP_NOTE; note = note->next) {
        print_item(t, note);
    }
}

static bool
before(const struct item *a, const struct item *b)
{
    if (a->order != b->order) {
        return a->order < b->order;
    }
    return a->pos.line != b->pos.line ? a->pos.line < b->pos.line : a->pos.col < b->pos.col;
}

/* At most 40 items: insertion keeps the order in which equal places were found. */
static void
sort(struct sp_diag *d)
{
    struct item *sorted = NULL, *it, *next;

    for (it = d->items; it != NULL; it = next) {
        struct item **at = &sorted;
        next = it->next;
        while (*at != NULL && !before(it, *at)) {
            at = &(*at)->next;
        }
        it->next = *at;
        *at = it;
    }
    d->items = sorted;
    d->tail = &d->items;
    while (*d->tail != NULL) {
        d->tail = &(*d->tail)->next;
    }
}

struct sp_str
sp_diag_text(struct sp_diag *d)
{
    sort(d);
    sp_text_reset(&d->text);
    for (const struct item *it = d->items; it != NULL; it = it->next) {
        print_item(&d->text, it);
    }
    if (d->errors > d->shown_errors || d->warnings > d->shown_warnings) {
        sp_text_printf(&d->text, "%u error%s, %u warning%s\n", d->errors, d->errors == 1 ? "" : "s", d->warnings,
                       d->warnings == 1 ? "" : "s");
    }
    return sp_text_str(&d->text);
}
