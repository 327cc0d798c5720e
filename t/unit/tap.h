/*
 * A unit test prints TAP through these few functions:
 *
 *     int main(void)
 *     {
 *         ok(1 + 1 == 2, "sum");
 *         is_int(f(3), 9, "square of %d", 3);
 *         is_str(g(), "text", "g");
 *         return done_testing();
 *     }
 *
 * Each check returns true if it passed, prints "ok" or "not ok" at once and, upon failure, where it stands and what was
 * got instead. done_testing() prints the plan and returns the exit code: 0 if every check passed, else 1. One file per
 * test program; not for use from several threads.
 */
#ifndef SP_T_UNIT_TAP_H
#define SP_T_UNIT_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ok(cond, ...)          tap_ok((cond) ? true : false, __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...) tap_is_int((long long)(got), (long long)(want), __FILE__, __LINE__, __VA_ARGS__)
#define is_str(got, want, ...) tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_mem(got, got_len, want, want_len, ...)                                                                      \
    tap_is_mem((got), (size_t)(got_len), (want), (size_t)(want_len), __FILE__, __LINE__, __VA_ARGS__)

static unsigned tap_run;
static unsigned tap_failed;

__attribute__((unused, format(printf, 4, 0))) static bool
tap_report(bool pass, const char *file, int line, const char *fmt, va_list ap)
{
    tap_run++;
    printf("%s %u - ", pass ? "ok" : "not ok", tap_run);
    vprintf(fmt, ap);
    putchar('\n');
    if (!pass) {
        tap_failed++;
        printf("#   failed at %s:%d\n", file, line);
    }
    fflush(stdout);
    return pass;
}

__attribute__((unused, format(printf, 4, 5))) static bool
tap_ok(bool pass, const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)tap_report(pass, file, line, fmt, ap);
    va_end(ap);
    return pass;
}

__attribute__((unused, format(printf, 5, 6))) static bool
tap_is_int(long long got, long long want, const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (!tap_report(got == want, file, line, fmt, ap)) {
        printf("#   got %lld, wanted %lld\n", got, want);
    }
    va_end(ap);
    return got == want;
}

/* Prints text as one diagnostic line, so that a newline in it cannot pass for TAP. */
__attribute__((unused)) static void
tap_show(const char *what, const void *data, size_t len)
{
    const unsigned char *p = data;

    printf("#   %s ", what);
    if (p == NULL) {
        puts("NULL");
        return;
    }
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\') {
            putchar(p[i]);
        } else {
            printf("\\x%02x", p[i]);
        }
    }
    puts("\"");
}

__attribute__((unused, format(printf, 5, 6))) static bool
tap_is_str(const char *got, const char *want, const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    bool    pass = (got == NULL || want == NULL) ? got == want : strcmp(got, want) == 0;

    va_start(ap, fmt);
    if (!tap_report(pass, file, line, fmt, ap)) {
        tap_show("got   ", got, got != NULL ? strlen(got) : 0);
        tap_show("wanted", want, want != NULL ? strlen(want) : 0);
    }
    va_end(ap);
    return pass;
}

__attribute__((unused, format(printf, 7, 8))) static bool
tap_is_mem(const void *got, size_t got_len, const void *want, size_t want_len, const char *file, int line,
           const char *fmt, ...)
{
    va_list ap;
    bool    pass = got_len == want_len && (got_len == 0 || memcmp(got, want, got_len) == 0);

    va_start(ap, fmt);
    if (!tap_report(pass, file, line, fmt, ap)) {
        tap_show("got   ", got, got_len);
        tap_show("wanted", want, want_len);
    }
    va_end(ap);
    return pass;
}

__attribute__((unused)) static int
done_testing(void)
{
    printf("1..%u\n", tap_run);
    if (tap_failed > 0) {
        printf("# %u of %u failed\n", tap_failed, tap_run);
    }
    fflush(stdout);
    return tap_failed == 0 ? 0 : 1;
}

#endif
