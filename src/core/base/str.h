/*
 * Slices: a pointer and a length. What comes from a peer or a file is handled as a slice and never
 * as a C string; a slice does not own its bytes and need not end in NUL.
 */
#ifndef SP_BASE_STR_H
#define SP_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sp_str {
    const char *p;
    size_t      n;
};

#define SP_STR(literal) ((struct sp_str){(literal), sizeof(literal) - 1})
/* For printf's "%.*s": only for text that was checked or escaped before. */
#define SP_STR_ARG(s) (int)(s).n, (s).p

static inline struct sp_str
sp_str_c(const char *text)
{
    return (struct sp_str){text, text ? strlen(text) : 0};
}

static inline bool
sp_str_eq(struct sp_str a, struct sp_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
sp_str_is(struct sp_str a, const char *text)
{
    return sp_str_eq(a, sp_str_c(text));
}

static inline bool
sp_str_prefix(struct sp_str s, struct sp_str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* Byte order, shorter first among equals: <0, 0, >0. */
int sp_str_cmp(struct sp_str a, struct sp_str b);

/* A NUL-terminated copy for the caller to free; NULL when out of memory. */
char *sp_str_dup(struct sp_str s);

/* Splits `s` at the first `sep`: returns the part before and leaves the rest (after `sep`) in *s; the whole and an
 * empty rest with p == NULL when there is no `sep`. */
struct sp_str sp_str_cut(struct sp_str *s, char sep);

/* Decimal digits only, no sign or space. -EINVAL when empty or not digits, -ERANGE when above `max`. */
int sp_str_u64(struct sp_str s, uint64_t max, uint64_t *out);

/* MQTT 5 1.5.4 / RFC 3629: well-formed UTF-8 without U+0000 and surrogates. */
bool sp_utf8_valid(struct sp_str s);

/* Writes `s` into dst with everything but printable ASCII as \xHH and with \\ doubled, for logs and errors; cuts with
 * "..." when it does not fit; always NUL-terminated. Returns dst. cap >= 8. */
const char *sp_str_escape(char *dst, size_t cap, struct sp_str s);

/* Appends to a JSON text: quotes, and escapes per RFC 8259; bytes that are not UTF-8 become U+FFFD. Returns the length
 * that the full result has, like snprintf. */
size_t sp_str_json(char *dst, size_t cap, struct sp_str s);

/* Edit distance (insert, delete, replace, swap of neighbours), for "did you mean"; capped at `limit` + 1, which is also
 * the answer for different texts of which one is longer than 127 bytes. */
unsigned sp_str_distance(struct sp_str a, struct sp_str b, unsigned limit);

/* Checked arithmetic on lengths: false on overflow. */
static inline bool
sp_size_add(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool
sp_size_mul(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}

#endif
