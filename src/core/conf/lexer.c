#include "conf/lexer.h"

#include <stdio.h>

#define WORD_MAX_BYTES 65535
#define BAD_BYTES_MAX  3

void
sp_lexer_init(struct sp_lexer *l, const struct sp_conf_file *file, struct sp_arena *arena, struct sp_diag *diag)
{
    *l = (struct sp_lexer){.file = file, .arena = arena, .diag = diag, .line = 1};
    if (sp_str_prefix(file->text, SP_STR("\xef\xbb\xbf"))) { /* a byte order mark, as some editors write it */
        l->at = 3;
    }
}

static struct sp_pos
place(const struct sp_lexer *l, size_t from, size_t to)
{
    size_t col = from - l->line_start + 1, width = to - from;

    return (struct sp_pos){l->file, l->line, col > UINT32_MAX ? UINT32_MAX : (uint32_t)col,
                           width > UINT32_MAX ? UINT32_MAX : (uint32_t)width};
}

static void
report(struct sp_lexer *l, struct sp_pos pos, const char *hint, const char *message)
{
    sp_diag_add(l->diag, SP_ERROR, pos, hint, "%s", message);
    if (++l->errors == SP_DIAG_MAX) {
        l->at = l->file->text.n;
    }
}

static bool
is_blank(const struct sp_lexer *l, size_t at)
{
    struct sp_str t = l->file->text;

    return t.p[at] == ' ' || t.p[at] == '\t' || t.p[at] == '\n' ||
           (t.p[at] == '\r' && at + 1 < t.n && t.p[at + 1] == '\n');
}

static void
newline(struct sp_lexer *l, size_t at)
{
    l->line++;
    l->line_start = at + 1;
}

/* Passes over blanks and comments. */
static void
skip(struct sp_lexer *l, struct sp_token *out)
{
    struct sp_str t = l->file->text;

    out->first = l->at == l->line_start || (l->line == 1 && l->at == 3);
    while (l->at < t.n) {
        if (t.p[l->at] == '#') {
            if (l->at + 1 < t.n && t.p[l->at + 1] == ';') {
                out->hash = place(l, l->at, l->at + 1);
            }
            while (l->at < t.n && t.p[l->at] != '\n') {
                l->at++;
            }
        } else if (is_blank(l, l->at)) {
            if (t.p[l->at] == '\n') {
                newline(l, l->at);
                out->first = true;
            }
            l->at++;
        } else {
            return;
        }
    }
}

static bool
report_byte(struct sp_lexer *l, size_t at, const char *message)
{
    report(l, place(l, at, at + 1), "expected text in UTF-8", message);
    if (++l->bad_bytes == BAD_BYTES_MAX) {
        sp_diag_add(l->diag, SP_NOTE, (struct sp_pos){l->file, 0, 0, 0}, NULL,
                    "this does not look like a configuration: the rest of it was not read");
        l->at = l->file->text.n;
    }
    return false;
}

/* Control bytes and what is not UTF-8, in the bytes [from, to) of one line. */
static bool
check_bytes(struct sp_lexer *l, size_t from, size_t to)
{
    const char   *p = l->file->text.p;
    struct sp_str part = {p + from, to - from};
    char          message[64];

    for (size_t i = from; i < to; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            (void)snprintf(message, sizeof(message), "%s \\x%02x in the configuration",
                           c == 0 ? "NUL byte" : "control byte", c);
            return report_byte(l, i, message);
        }
    }
    if (sp_utf8_valid(part)) {
        return true;
    }
    for (size_t i = from; i < to;) { /* the first character that is not one */
        size_t n = 1;
        while (n < 4 && i + n < to && !sp_utf8_valid((struct sp_str){p + i, n})) {
            n++;
        }
        if (!sp_utf8_valid((struct sp_str){p + i, n})) {
            (void)snprintf(message, sizeof(message), "byte \\x%02x is not UTF-8", (unsigned char)p[i]);
            return report_byte(l, i, message);
        }
        i += n;
    }
    return false;
}

static bool
ends_word(const struct sp_lexer *l, size_t at)
{
    char c = l->file->text.p[at];

    return is_blank(l, at) || c == ';' || c == '{' || c == '}';
}

/* Behind the quote that closes the one at `at`, if it does so on this line; else right behind that one. */
static size_t
behind_quote(struct sp_str t, size_t at)
{
    for (size_t i = at + 1; i < t.n && t.p[i] != '\n'; i++) {
        if (t.p[i] == t.p[at]) {
            return i + 1;
        }
    }
    return at + 1;
}

static void
bare_word(struct sp_lexer *l, struct sp_token *out)
{
    struct sp_str t = l->file->text;
    size_t        from = l->at, quote = 0;

    while (l->at < t.n && !ends_word(l, l->at)) {
        if ((t.p[l->at] == '"' || t.p[l->at] == '\'') && quote == 0) {
            quote = l->at;
            l->at = behind_quote(t, quote);
        } else {
            l->at++;
        }
    }
    size_t to = l->at;
    out->text = (struct sp_str){t.p + from, to - from};
    out->pos = place(l, from, to);
    out->bad = !check_bytes(l, from, to);
    if (out->bad) {
        return;
    }
    if (quote > 0) {
        out->bad = true;
        report(l, place(l, quote, quote + 1), "expected the quotes around the whole word, or a blank before them",
               "quote within a word");
    } else if (to - from > WORD_MAX_BYTES) {
        out->bad = true;
        report(l, out->pos, "expected at most 65535 bytes", "word too long");
    }
}

static char
escaped(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case '\\':
    case '"':
    case '\'':
        return c;
    default:
        return '\0';
    }
}

/* Copies the inside of a quoted word, escapes resolved. */
static struct sp_str
unescape(struct sp_lexer *l, size_t from, size_t to)
{
    struct sp_str t = l->file->text;
    char         *dst;
    size_t        n = 0;

    if (to == from || memchr(t.p + from, '\\', to - from) == NULL) {
        return (struct sp_str){t.p + from, to - from};
    }
    dst = sp_arena_alloc(l->arena, to - from + 1);
    for (size_t i = from; i < to; i++) {
        char c = t.p[i] == '\\' && i + 1 < to ? escaped(t.p[i + 1]) : '\0';
        if (c != '\0') {
            dst[n++] = c;
            i++;
        } else {
            dst[n++] = t.p[i];
        }
    }
    return (struct sp_str){dst, n};
}

/* The closing quote is missing on this line: what ends the line is taken for the end of the statement, so that one
 * forgotten quote is one error. */
static void
unterminated(struct sp_lexer *l, size_t from, size_t end, struct sp_token *out)
{
    const char *p = l->file->text.p;
    size_t      to = end;

    while (to > from + 1 && (p[to - 1] == ' ' || p[to - 1] == '\t' || p[to - 1] == '\r')) {
        to--;
    }
    if (to > from + 1 && (p[to - 1] == ';' || p[to - 1] == '{' || p[to - 1] == '}')) {
        to--;
    }
    out->bad = true;
    out->text = (struct sp_str){p + from + 1, to - from - 1};
    out->pos = place(l, from, to);
    l->at = to;
    report(l, place(l, from, from + 1), "the closing quote is missing on this line; \\n stands for a newline",
           "unterminated quote");
}

static void
quoted_word(struct sp_lexer *l, struct sp_token *out)
{
    struct sp_str t = l->file->text;
    size_t        from = l->at, at = from + 1;

    out->quoted = true;
    while (at < t.n && t.p[at] != t.p[from] && t.p[at] != '\n') {
        at += t.p[at] == '\\' && at + 1 < t.n && t.p[at + 1] != '\n' ? 2 : 1;
    }
    if (at >= t.n || t.p[at] == '\n') {
        unterminated(l, from, at > t.n ? t.n : at, out);
        return;
    }
    l->at = at + 1;
    out->pos = place(l, from, l->at);
    out->text = unescape(l, from + 1, at);
    out->bad = !check_bytes(l, from, at);
    if (out->bad) {
        return;
    }
    if (out->text.n > WORD_MAX_BYTES) {
        out->bad = true;
        report(l, out->pos, "expected at most 65535 bytes", "word too long");
    } else if (l->at < t.n && !ends_word(l, l->at) && t.p[l->at] != '\r') {
        out->bad = true;
        report(l, place(l, l->at, l->at + 1), "expected a blank, \";\" or \"{\"", "text right behind a closing quote");
        while (l->at < t.n && !ends_word(l, l->at)) {
            l->at++;
        }
    }
}

void
sp_lexer_next(struct sp_lexer *l, struct sp_token *out)
{
    struct sp_str t = l->file->text;

    *out = (struct sp_token){.kind = SP_TOKEN_END};
    skip(l, out);
    if (l->at >= t.n) {
        out->pos = place(l, l->at < l->line_start ? l->line_start : l->at, l->at);
        return;
    }
    switch (t.p[l->at]) {
    case ';':
        out->kind = SP_TOKEN_SEMICOLON;
        break;
    case '{':
        out->kind = SP_TOKEN_OPEN;
        break;
    case '}':
        out->kind = SP_TOKEN_CLOSE;
        break;
    case '"':
    case '\'':
        out->kind = SP_TOKEN_WORD;
        quoted_word(l, out);
        return;
    default:
        out->kind = SP_TOKEN_WORD;
        bare_word(l, out);
        return;
    }
    out->pos = place(l, l->at, l->at + 1);
    l->at++;
}
