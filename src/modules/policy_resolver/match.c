#include "modules/policy_resolver/match.h"

#include <errno.h>
#include <stdlib.h>

#include "base/topic.h"

/* What stands for an unknown capture while a filter is put together: bytes that UTF-8 never holds. */
#define ONE_LEVEL '\xfe'
#define ANY_REST  '\xff'

struct level {
    struct sp_str text, rest; /* rest: behind the slash; p is NULL after the last level */
    bool          ended;
};

static struct level
level_first(struct sp_str filter)
{
    struct level l = {.rest = filter};

    l.text = sp_str_cut(&l.rest, '/');
    return l;
}

static void
level_next(struct level *l)
{
    l->ended = l->rest.p == NULL;
    l->text = l->ended ? l->rest : sp_str_cut(&l->rest, '/');
}

static bool
level_is(const struct level *l, char wildcard)
{
    return !l->ended && l->text.n == 1 && l->text.p[0] == wildcard;
}

bool
sp_scratch_reserve(struct sp_scratch *s, size_t bytes)
{
    size_t cap = s->cap == 0 ? 256 : s->cap;
    char  *p;

    while (cap < bytes) {
        if (!sp_size_mul(&cap, cap, 2)) {
            return false;
        }
    }
    if (cap == s->cap) {
        return true;
    }
    p = realloc(s->p, cap);
    if (p == NULL) {
        return false;
    }
    s->p = p;
    s->cap = cap;
    return true;
}

void
sp_scratch_free(struct sp_scratch *s)
{
    free(s->p);
    *s = (struct sp_scratch){0};
}

/* What the reference at text[0..1] is; 0: none, -1: one that the dialect does not know. */
static int
reference_at(enum sp_dialect dialect, struct sp_str text)
{
    char c = text.n > 1 ? text.p[1] : '\0';

    if (text.n == 0 || text.p[0] != '%') {
        return 0;
    }
    if (dialect == SP_DIALECT_ACLFILE) {
        return c == 'u' ? 'i' : c == 'c' ? 'c' : 0;
    }
    return c == 'i' || c == '%' || (c >= '1' && c <= '9') ? c : -1;
}

static void
note_reference(struct sp_template *t, char what)
{
    t->identity = t->identity || what == 'i';
    t->client = t->client || what == 'c';
    if (what >= '1' && what <= '9' && what - '0' > t->max_capture) {
        t->max_capture = (uint8_t)(what - '0');
    }
}

/* Cuts the text into pieces. */
static int
cut_pieces(enum sp_dialect dialect, struct sp_template *t, struct sp_piece *pieces, size_t *at)
{
    struct sp_str text = t->text;
    size_t        from = 0, i = 0;
    unsigned      n = 0;

    while (i < text.n) {
        int what = reference_at(dialect, (struct sp_str){text.p + i, text.n - i});
        if (what < 0) {
            *at = i;
            return -EINVAL;
        }
        if (what == 0) {
            i++;
            continue;
        }
        /* of "%%" the first sign stays as literal text */
        size_t end = what == '%' ? i + 1 : i;
        if (end > from) {
            pieces[n++].text = (struct sp_str){text.p + from, end - from};
        }
        if (what != '%') {
            pieces[n++].what = (char)what;
            note_reference(t, (char)what);
        }
        i += 2;
        from = i;
    }
    if (text.n > from) {
        pieces[n++].text = (struct sp_str){text.p + from, text.n - from};
    }
    t->pieces = pieces;
    t->npieces = n;
    return 0;
}

int
sp_template_parse(struct sp_arena *a, enum sp_dialect dialect, struct sp_str text, struct sp_template *out, size_t *at,
                  const char **why)
{
    struct sp_references any = {.identity = SP_STR("x"), .client = SP_STR("x")};
    struct sp_str        ones[SP_CAPTURES_MAX], filter;
    struct sp_scratch    scratch = {0};
    struct sp_piece     *pieces;
    unsigned             signs = 0;
    int                  err = 0;

    *out = (struct sp_template){.text = text};
    *at = 0;
    for (size_t i = 0; i < text.n; i++) {
        signs += text.p[i] == '%';
    }
    pieces = sp_arena_array(a, 2 * (size_t)signs + 1, sizeof(*pieces));
    if (cut_pieces(dialect, out, pieces, at) < 0) {
        *why = "% must be followed by i, a number from 1 to 9, or another %";
        return -EINVAL;
    }
    for (int i = 0; i < SP_CAPTURES_MAX; i++) {
        ones[i] = SP_STR("x");
    }
    any.captures = ones;
    any.ncaptures = SP_CAPTURES_MAX;
    if (!sp_template_filter(out, &any, &scratch, &filter) || !sp_topic_filter_valid(filter, SP_FILTER_LEVELS_MAX)) {
        *why = "not a topic filter";
        err = -EINVAL;
    } else if (!out->identity && !out->client && out->max_capture == 0) {
        out->plain = signs == 0 ? text : sp_arena_str(a, filter);
    }
    sp_scratch_free(&scratch);
    return err;
}

static bool
is_wild(struct sp_str s)
{
    return sp_topic_has_wildcard(s) || (s.n > 0 && memchr(s.p, '\0', s.n) != NULL);
}

/* The kind of the n-th wildcard of a filter, 0 when it has fewer. */
static char
wildcard_kind(struct sp_str filter, int n)
{
    for (struct level l = level_first(filter); !l.ended; level_next(&l)) {
        if ((level_is(&l, '+') || level_is(&l, '#')) && --n == 0) {
            return l.text.p[0];
        }
    }
    return '\0';
}

/* What a reference stands for; false: nothing that may be put there. */
static bool
resolve(const struct sp_references *r, char what, struct sp_str *out)
{
    static const char one = ONE_LEVEL, rest = ANY_REST;
    int               n = what - '0';

    if (what == 'i' || what == 'c') {
        *out = what == 'i' ? r->identity : r->client;
        return !is_wild(*out) && !(r->strict && what == 'i' && out->n > 0 && memchr(out->p, '/', out->n) != NULL);
    }
    if (r->around != NULL) {
        char kind = wildcard_kind(*r->around, n);
        *out = (struct sp_str){kind == '+' ? &one : &rest, 1};
        return kind != '\0';
    }
    if (n > r->ncaptures) {
        return false;
    }
    *out = r->captures[n - 1];
    return true;
}

/* Levels in which an unknown stands become wildcards. */
static size_t
widen(char *p, size_t n)
{
    size_t from = 0, to = 0;

    while (from <= n) {
        const char *slash = from < n ? memchr(p + from, '/', n - from) : NULL;
        size_t      len = slash != NULL ? (size_t)(slash - (p + from)) : n - from;

        if (len > 0 && memchr(p + from, ANY_REST, len) != NULL) {
            p[to++] = '#';
            return to;
        }
        if (len > 0 && memchr(p + from, ONE_LEVEL, len) != NULL) {
            p[to++] = '+';
        } else {
            memmove(p + to, p + from, len);
            to += len;
        }
        from += len + 1;
        if (from <= n) {
            p[to++] = '/';
        }
    }
    return to;
}

bool
sp_template_filter(const struct sp_template *t, const struct sp_references *r, struct sp_scratch *scratch,
                   struct sp_str *filter)
{
    size_t n = 0, need;

    if (t->plain.p != NULL) {
        *filter = t->plain;
        return true;
    }
    for (unsigned i = 0; i < t->npieces; i++) {
        struct sp_str part = t->pieces[i].text;

        if (t->pieces[i].what != '\0' && !resolve(r, t->pieces[i].what, &part)) {
            return false;
        }
        if (!sp_size_add(&need, n, part.n) || need > SP_TOPIC_MAX_BYTES || !sp_scratch_reserve(scratch, need + 1)) {
            return false;
        }
        if (part.n > 0) {
            memcpy(scratch->p + n, part.p, part.n);
        }
        n = need;
    }
    if (n == 0 || (scratch->p[0] == '$' && t->text.p[0] != '$')) {
        return false;
    }
    if (r->around != NULL && t->max_capture > 0) {
        n = widen(scratch->p, n);
    }
    *filter = (struct sp_str){scratch->p, n};
    return true;
}

bool
sp_template_widest(const struct sp_template *t, struct sp_scratch *scratch, struct sp_str *filter)
{
    static const char    one = ONE_LEVEL, rest = ANY_REST;
    struct sp_str        caps[SP_CAPTURES_MAX];
    struct sp_references r = {{&one, 1}, {&one, 1}, caps, SP_CAPTURES_MAX, NULL, false};

    for (int i = 0; i < SP_CAPTURES_MAX; i++) {
        caps[i] = (struct sp_str){&rest, 1};
    }
    if (!sp_template_filter(t, &r, scratch, filter)) {
        return false;
    }
    if (t->plain.p == NULL) {
        filter->n = widen(scratch->p, filter->n);
    }
    return true;
}

static void
append(struct sp_scratch *s, size_t *n, bool first, struct sp_str part)
{
    if (!first) {
        s->p[(*n)++] = '/';
    }
    if (part.n > 0) {
        memcpy(s->p + *n, part.p, part.n);
        *n += part.n;
    }
}

bool
sp_filter_intersect(struct sp_str a, struct sp_str b, struct sp_scratch *scratch, struct sp_str *both)
{
    struct level x = level_first(a), y = level_first(b);
    size_t       n = 0;

    if (!sp_topic_filters_overlap(a, b) || !sp_scratch_reserve(scratch, a.n + b.n + 2)) {
        return false;
    }
    for (bool first = true; !x.ended && !y.ended; level_next(&x), level_next(&y), first = false) {
        const struct level *narrow = level_is(&x, '#') || (level_is(&x, '+') && !level_is(&y, '#')) ? &y : &x;
        struct sp_str       part = narrow->text;

        if (level_is(&x, '#') || level_is(&y, '#')) { /* whatever the other one still asks for */
            part.n += narrow->rest.p != NULL ? narrow->rest.n + 1 : 0;
            append(scratch, &n, first, part);
            break;
        }
        append(scratch, &n, first, part);
    } /* one of them may have a '#' left, which matches the parent level too */
    *both = (struct sp_str){scratch->p, n};
    return true;
}

bool
sp_filter_fix(struct sp_str filter, int n, struct sp_str text, struct sp_scratch *scratch, struct sp_str *fixed)
{
    for (struct level l = level_first(filter); !l.ended; level_next(&l)) {
        size_t before = (size_t)(l.text.p - filter.p), behind = before + 1;

        if ((!level_is(&l, '+') && !level_is(&l, '#')) || --n > 0) {
            continue;
        }
        if (is_wild(text) || (level_is(&l, '+') && text.n > 0 && memchr(text.p, '/', text.n) != NULL) ||
            !sp_scratch_reserve(scratch, filter.n + text.n)) {
            return false;
        }
        memcpy(scratch->p, filter.p, before);
        if (text.n > 0) {
            memcpy(scratch->p + before, text.p, text.n);
        }
        memcpy(scratch->p + before + text.n, filter.p + behind, filter.n - behind);
        *fixed = (struct sp_str){scratch->p, filter.n - 1 + text.n};
        return true;
    }
    return false;
}

int
sp_filter_wildcards(struct sp_str filter)
{
    int n = 0;

    for (struct level l = level_first(filter); !l.ended; level_next(&l)) {
        n += level_is(&l, '+') || level_is(&l, '#');
    }
    return n;
}
