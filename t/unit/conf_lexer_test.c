#include <stdio.h>

#include "conf/lexer.h"
#include "tap.h"

static struct sp_arena *arena;

/* All tokens in one line: words in [], the rest as it is. */
static const char *
tokens(const char *text, size_t n, unsigned *errors)
{
    static char         out[1024];
    struct sp_conf_file file = {SP_STR("t"), {text, n}};
    struct sp_diag     *d;
    struct sp_lexer     l;
    struct sp_token     t;
    size_t              at = 0;

    (void)sp_diag_create(&d);
    sp_lexer_init(&l, &file, arena, d);
    do {
        sp_lexer_next(&l, &t);
        switch (t.kind) {
        case SP_TOKEN_WORD:
            at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s%s", t.quoted ? "<" : "[", SP_STR_ARG(t.text),
                                   t.quoted ? ">" : "]");
            break;
        case SP_TOKEN_SEMICOLON:
            at += (size_t)snprintf(out + at, sizeof(out) - at, ";");
            break;
        case SP_TOKEN_OPEN:
            at += (size_t)snprintf(out + at, sizeof(out) - at, "{");
            break;
        case SP_TOKEN_CLOSE:
            at += (size_t)snprintf(out + at, sizeof(out) - at, "}");
            break;
        case SP_TOKEN_END:
            break;
        }
    } while (t.kind != SP_TOKEN_END);
    out[at] = '\0';
    *errors = sp_diag_errors(d);
    sp_diag_destroy(d);
    return out;
}

static void
good(const char *text, const char *want)
{
    unsigned errors;

    is_str(tokens(text, strlen(text), &errors), want, "%s", want);
    is_int(errors, 0, "without an error");
}

static void
bad(const char *text, const char *want)
{
    unsigned errors;

    is_str(tokens(text, strlen(text), &errors), want, "in spite of errors: %s", want);
    ok(errors > 0, "an error");
}

static void
test_places(void)
{
    struct sp_conf_file file = {SP_STR("t"), SP_STR("a  'b c' ;\n\n  d#e{")};
    const struct {
        uint32_t line, col, width;
        bool     first;
    } want[] = {{1, 1, 1, true}, {1, 4, 5, false}, {1, 10, 1, false}, {3, 3, 3, true}, {3, 6, 1, false}};
    struct sp_diag *d;
    struct sp_lexer l;
    struct sp_token t;

    (void)sp_diag_create(&d);
    sp_lexer_init(&l, &file, arena, d);
    for (size_t i = 0; i < 5; i++) {
        sp_lexer_next(&l, &t);
        ok(t.pos.line == want[i].line && t.pos.col == want[i].col && t.pos.width == want[i].width &&
               t.first == want[i].first,
           "place of token %zu: %u:%u+%u", i, t.pos.line, t.pos.col, t.pos.width);
    }
    sp_diag_destroy(d);
}

int
main(void)
{
    unsigned errors;

    (void)sp_arena_create(&arena);
    good("", "");
    good("a b;c{d;}", "[a][b];[c]{[d];}");
    good("a # comment; {\nb;", "[a][b];");
    good("lob/# #x", "[lob/#]");
    good("\"a b\" 'c;{}#' \"\" '';", "<a b><c;{}#><><>;");
    good("\"\\\\ \\\" \\' \\n \\t \\d \\.\"", "<\\ \" ' \n \t \\d \\.>");
    good("a\\;b", "[a\\];[b]");
    good("a\r\nb\t;", "[a][b];");
    good("\xef\xbb\xbfx;", "[x];");
    good("\xc3\xa9 \"\xe2\x82\xac\";", "[\xc3\xa9]<\xe2\x82\xac>;");
    good("a=b +=", "[a=b][+=]");
    good("# \xff\xfe\n;", ";");
    bad("\"abc;\nd;", "<abc>;[d];");
    bad("\"abc {\nd;", "<abc >{[d];");
    bad("'abc", "<abc>");
    bad("\"\\", "<\\>");
    bad("\"abc\\\n;", "<abc\\>;");
    bad("a\"b;", "[a\"b];");
    bad("a\"b c\" d;", "[a\"b c\"][d];");
    bad("\"a\"b;", "<a>;");
    bad("a\x01z;", "[a\x01z];");
    bad("\xff;", "[\xff];");
    (void)tokens("a\0b;", 4, &errors);
    is_int(errors, 1, "NUL");
    (void)tokens("\x01\n\x01\n\x01\n\x01\n\x01\n", 10, &errors);
    is_int(errors, 3, "a few bad bytes are enough");
    test_places();
    sp_arena_destroy(arena);
    return done_testing();
}
