#include "conf/text.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static _Noreturn void
exhausted(size_t bytes)
{
    sp_log(SP_LOG_EMERG, "out of memory: a text could not get %zu bytes", bytes);
    abort();
}

/* Makes room for `more` bytes and a NUL. */
static void
reserve(struct sp_text *t, size_t more)
{
    size_t need, cap = t->cap == 0 ? 256 : t->cap;
    char  *p;

    if (!sp_size_add(&need, t->n, more) || !sp_size_add(&need, need, 1)) {
        exhausted(more);
    }
    if (need <= t->cap) {
        return;
    }
    while (cap < need) {
        if (!sp_size_mul(&cap, cap, 2)) {
            exhausted(need);
        }
    }
    p = realloc(t->p, cap);
    if (p == NULL) {
        exhausted(cap);
    }
    t->p = p;
    t->cap = cap;
}

void
sp_text_add(struct sp_text *t, struct sp_str s)
{
    reserve(t, s.n);
    if (s.n > 0) {
        memcpy(t->p + t->n, s.p, s.n);
    }
    t->n += s.n;
    t->p[t->n] = '\0';
}

void
sp_text_printf(struct sp_text *t, const char *fmt, ...)
{
    va_list ap;
    int     n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        return;
    }
    reserve(t, (size_t)n);
    va_start(ap, fmt);
    (void)vsnprintf(t->p + t->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->n += (size_t)n;
}

void
sp_text_reset(struct sp_text *t)
{
    t->n = 0;
    if (t->p != NULL) {
        t->p[0] = '\0';
    }
}

void
sp_text_free(struct sp_text *t)
{
    free(t->p);
    *t = (struct sp_text){0};
}

struct sp_str
sp_text_str(struct sp_text *t)
{
    reserve(t, 0);
    t->p[t->n] = '\0';
    return (struct sp_str){t->p, t->n};
}

char *
sp_text_take(struct sp_text *t)
{
    char *p;

    (void)sp_text_str(t);
    p = t->p;
    *t = (struct sp_text){0};
    return p;
}

static bool
bare(struct sp_str word)
{
    /* what could be read as an operator or a comment, or has a delimiter in it, must be quoted */
    if (word.n == 0 || word.p[0] == '#' || sp_str_is(word, "=") || sp_str_is(word, "+=") || sp_str_is(word, "floor") ||
        sp_str_is(word, "reset")) {
        return false;
    }
    for (size_t i = 0; i < word.n; i++) {
        unsigned char c = (unsigned char)word.p[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"';{}\\", c) != NULL) {
            return false;
        }
    }
    return true;
}

void
sp_text_quoted(struct sp_text *t, struct sp_str word)
{
    sp_text_add(t, SP_STR("\""));
    for (size_t i = 0; i < word.n; i++) {
        char c = word.p[i];
        if (c == '\n') {
            sp_text_add(t, SP_STR("\\n"));
        } else if (c == '\t') {
            sp_text_add(t, SP_STR("\\t"));
        } else {
            if (c == '"' || c == '\\') {
                sp_text_add(t, SP_STR("\\"));
            }
            sp_text_add(t, (struct sp_str){&word.p[i], 1});
        }
    }
    sp_text_add(t, SP_STR("\""));
}

void
sp_text_word(struct sp_text *t, struct sp_str word)
{
    if (bare(word)) {
        sp_text_add(t, word);
    } else {
        sp_text_quoted(t, word);
    }
}

const char *
sp_word_quote(char *dst, size_t cap, struct sp_str word)
{
    struct sp_text t = {0};
    size_t         n = 0;

    sp_text_quoted(&t, word);
    for (size_t i = 0; i < t.n && n + 8 < cap; i++) {
        unsigned char c = (unsigned char)t.p[i];
        if (c < 0x20 || c >= 0x7f) {
            n += (size_t)snprintf(dst + n, cap - n, "\\x%02x", c);
        } else {
            dst[n++] = (char)c;
        }
        if (i + 1 < t.n && n + 8 >= cap) {
            memcpy(dst + n, "...", 3);
            n += 3;
            break;
        }
    }
    dst[n] = '\0';
    sp_text_free(&t);
    return dst;
}
