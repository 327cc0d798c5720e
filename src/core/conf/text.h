/* Text that grows: for diagnostics, dumps, the reference. A zeroed struct is empty. Aborts when memory is exhausted, as arenas do. */
#ifndef SP_CONF_TEXT_H
#define SP_CONF_TEXT_H

#include <stdarg.h>

#include "base/str.h"

struct sp_text {
    char  *p;
    size_t n, cap;
};

void sp_text_add(struct sp_text *t, struct sp_str s);
void sp_text_printf(struct sp_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sp_text_reset(struct sp_text *t); /* empty, keeps its memory */
void sp_text_free(struct sp_text *t);

/* What is in it, NUL behind; valid until the next change. */
struct sp_str sp_text_str(struct sp_text *t);
/* Hands the bytes over (malloc'd, NUL behind) and is empty then. */
char *sp_text_take(struct sp_text *t);

/* A word as the configuration language needs it written: bare if it can be, else quoted and escaped. */
void sp_text_word(struct sp_text *t, struct sp_str word);
void sp_text_quoted(struct sp_text *t, struct sp_str word); /* always in quotes */
/* For messages: the word in quotes, escaped, what is not printable ASCII as \xHH; cut with "..." when it does not fit. cap >= 16.
 * Returns dst. */
const char *sp_word_quote(char *dst, size_t cap, struct sp_str word);

#endif
