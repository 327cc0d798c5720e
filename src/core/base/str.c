#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

#define DISTANCE_MAX_BYTES 127 /* words for "did you mean" are shorter */

char *
sp_str_dup(struct sp_str s)
{
    char *copy = malloc(s.n + 1);

    if (copy != NULL) {
        if (s.n > 0) {
            memcpy(copy, s.p, s.n);
        }
        copy[s.n] = '\0';
    }
    return copy;
}

int
sp_str_cmp(struct sp_str a, struct sp_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int    order = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (order != 0) {
        return order;
    }
    return (a.n > b.n) - (a.n < b.n);
}

struct sp_str
sp_str_cut(struct sp_str *s, char sep)
{
    struct sp_str part = *s;
    const char   *at = s->n == 0 ? NULL : memchr(s->p, sep, s->n);

    if (at == NULL) {
        *s = (struct sp_str){NULL, 0};
        return part;
    }
    part.n = (size_t)(at - s->p);
    s->p = at + 1;
    s->n -= part.n + 1;
    return part;
}

int
sp_str_u64(struct sp_str s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    bool     over = false;

    if (s.n == 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return -EINVAL;
        }
        over = over || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
               __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value);
    }
    if (over || value > max) {
        return -ERANGE;
    }
    *out = value;
    return 0;
}

static bool
is_tail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The length of the well-formed sequence at p (RFC 3629 section 4), 0 if there is none; n > 0. */
static size_t
utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char lead = p[0];

    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4 || n < 2 || !is_tail(p[1])) {
        return 0;
    }
    if (lead < 0xe0) {
        return 2;
    }
    if (n < 3 || !is_tail(p[2])) {
        return 0;
    }
    if (lead < 0xf0) {
        bool overlong = lead == 0xe0 && p[1] < 0xa0;
        bool surrogate = lead == 0xed && p[1] > 0x9f;
        return overlong || surrogate ? 0 : 3;
    }
    if (n < 4 || !is_tail(p[3]) || (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    return 4;
}

/* Eight bytes that are all ASCII and none NUL. */
static bool
is_plain_word(const unsigned char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return ((w | (w - 0x0101010101010101u)) & 0x8080808080808080u) == 0;
}

bool
sp_utf8_valid(struct sp_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t               i = 0;

    while (i < s.n) {
        while (s.n - i >= 8 && is_plain_word(p + i)) {
            i += 8;
        }
        if (i == s.n) {
            break;
        }
        size_t n = p[i] == 0 ? 0 : utf8_sequence(p + i, s.n - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

static const char hex[] = "0123456789abcdef";

const char *
sp_str_escape(char *dst, size_t cap, struct sp_str s)
{
    size_t at = 0, mark = 0; /* mark: the last place where "..." still fits behind */

    for (size_t i = 0; i < s.n; i++) {
        unsigned char byte = (unsigned char)s.p[i];
        bool          plain = byte >= 0x20 && byte < 0x7f;
        size_t        need = !plain ? 4 : byte == '\\' ? 2 : 1;

        if (at + 4 <= cap) {
            mark = at;
        }
        if (at + need >= cap) {
            memcpy(dst + mark, "...", 4);
            return dst;
        }
        if (!plain) {
            dst[at++] = '\\';
            dst[at++] = 'x';
            dst[at++] = hex[byte >> 4];
            dst[at++] = hex[byte & 15];
        } else {
            if (byte == '\\') {
                dst[at++] = '\\';
            }
            dst[at++] = (char)byte;
        }
    }
    dst[at] = '\0';
    return dst;
}

struct sink {
    char  *dst;
    size_t cap, n;
};

static void
sink_put(struct sink *k, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++, k->n++) {
        if (k->n + 1 < k->cap) {
            k->dst[k->n] = bytes[i];
        }
    }
}

/* RFC 8259 section 7: quotation mark, reverse solidus and U+0000..U+001F must be escaped. */
static void
sink_put_ascii(struct sink *k, unsigned char byte)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char              escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};

    for (size_t i = 0; i + 1 < sizeof(named); i += 2) {
        if ((unsigned char)named[i] == byte) {
            escape[1] = named[i + 1];
            sink_put(k, escape, 2);
            return;
        }
    }
    if (byte < 0x20 || byte == 0x7f) {
        sink_put(k, escape, 6);
    } else {
        sink_put(k, (const char *)&byte, 1);
    }
}

/* Characters that change how the text around them is shown, or that a terminal obeys: C1 controls, marks and overrides of the
 * writing direction, line and paragraph separators. A log with them can be made to look like another. All are below U+10000. */
static unsigned
deceiving(const unsigned char *p, size_t n)
{
    unsigned code = n == 2   ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                    : n == 3 ? (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)
                             : 0;
    bool     yes = (code >= 0x80 && code <= 0x9f) || code == 0x200e || code == 0x200f ||
               (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);

    return yes ? code : 0;
}

static void
sink_put_wide(struct sink *k, const unsigned char *p, size_t n)
{
    unsigned code = deceiving(p, n);
    char     escape[6] = {'\\', 'u', hex[code >> 12 & 15], hex[code >> 8 & 15], hex[code >> 4 & 15], hex[code & 15]};

    if (code != 0) {
        sink_put(k, escape, 6);
    } else {
        sink_put(k, (const char *)p, n);
    }
}

size_t
sp_str_json(char *dst, size_t cap, struct sp_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    struct sink          k = {dst, cap, 0};

    sink_put(&k, "\"", 1);
    for (size_t i = 0; i < s.n;) {
        size_t n = utf8_sequence(p + i, s.n - i);

        if (n == 1) {
            sink_put_ascii(&k, p[i]);
        } else if (n == 0) {
            sink_put(&k, "\xef\xbf\xbd", 3);
        } else {
            sink_put_wide(&k, p + i, n);
        }
        i += n == 0 ? 1 : n;
    }
    sink_put(&k, "\"", 1);
    if (cap > 0) {
        dst[k.n < cap ? k.n : cap - 1] = '\0';
    }
    return k.n;
}

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

unsigned
sp_str_distance(struct sp_str a, struct sp_str b, unsigned limit)
{
    unsigned  rows[3][DISTANCE_MAX_BYTES + 1];
    unsigned *older = rows[0], *old = rows[1], *now = rows[2];

    if (sp_str_eq(a, b)) {
        return 0;
    }
    if (a.n > DISTANCE_MAX_BYTES || b.n > DISTANCE_MAX_BYTES) {
        return limit + 1;
    }
    for (unsigned j = 0; j <= b.n; j++) {
        old[j] = j;
        older[j] = j;
    }
    for (unsigned i = 1; i <= a.n; i++) {
        now[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            now[j] = min3(old[j] + 1, now[j - 1] + 1, old[j - 1] + (a.p[i - 1] != b.p[j - 1]));
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] && older[j - 2] + 1 < now[j]) {
                now[j] = older[j - 2] + 1;
            }
        }
        unsigned *spare = older;
        older = old;
        old = now;
        now = spare;
    }
    return old[b.n] > limit ? limit + 1 : old[b.n];
}
