#include "base/topic.h"

/* Goes over the levels of a name or filter. "a//b" has an empty level in the middle, "a/" one at the end. */
struct levels {
    struct sp_str text, level;
    size_t        next; /* where the level after this one starts */
    unsigned      index;
    bool          ended;
};

static void
levels_read(struct levels *l)
{
    const char *from, *slash;

    if (l->next > l->text.n) {
        l->ended = true;
        l->level = (struct sp_str){NULL, 0};
        return;
    }
    from = l->text.p + l->next;
    slash = l->next == l->text.n ? NULL : memchr(from, '/', l->text.n - l->next);
    l->level.p = from;
    l->level.n = slash != NULL ? (size_t)(slash - from) : l->text.n - l->next;
    l->next += l->level.n + 1;
}

static struct levels
levels_start(struct sp_str text)
{
    struct levels l = {.text = text};

    levels_read(&l);
    return l;
}

static void
levels_next(struct levels *l)
{
    l->index++;
    levels_read(l);
}

static bool
is_one(const struct levels *l, char wildcard)
{
    return !l->ended && l->level.n == 1 && l->level.p[0] == wildcard;
}

static bool
is_any(const struct levels *l) /* '+' */
{
    return is_one(l, '+');
}

static bool
is_rest(const struct levels *l) /* '#' at the end */
{
    return is_one(l, '#') && l->next > l->text.n;
}

static bool
is_hidden(struct sp_str level) /* MQTT 5 4.7.2: not for a leading wildcard */
{
    return level.n > 0 && level.p[0] == '$';
}

/* A '#' whose parent level is no topic: "#" itself, and "/#", for a name is never empty (MQTT 5 4.7.3). */
static bool
is_parentless(const struct levels *rest)
{
    return rest->index == 0 || (rest->index == 1 && rest->text.p[0] == '/');
}

static bool
has_byte(struct sp_str s, char byte)
{
    return s.n > 0 && memchr(s.p, byte, s.n) != NULL;
}

bool
sp_topic_has_wildcard(struct sp_str filter)
{
    return has_byte(filter, '+') || has_byte(filter, '#');
}

static bool
text_valid(struct sp_str text, unsigned max_levels)
{
    unsigned levels = 1;

    if (text.n == 0 || text.n > SP_TOPIC_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        levels += text.p[i] == '/';
    }
    return levels <= max_levels && sp_utf8_valid(text);
}

bool
sp_topic_name_valid(struct sp_str topic, unsigned max_levels)
{
    return text_valid(topic, max_levels) && !sp_topic_has_wildcard(topic);
}

bool
sp_topic_filter_valid(struct sp_str filter, unsigned max_levels)
{
    if (!text_valid(filter, max_levels)) {
        return false;
    }
    for (struct levels l = levels_start(filter); !l.ended; levels_next(&l)) {
        if (!is_any(&l) && !is_rest(&l) && sp_topic_has_wildcard(l.level)) {
            return false;
        }
    }
    return true;
}

static void
capture(struct sp_str *caps, int max_caps, int *count, struct sp_str what)
{
    if (*count < max_caps) {
        caps[*count] = what;
    }
    (*count)++;
}

int
sp_topic_match_captures(struct sp_str filter, struct sp_str topic, struct sp_str *caps, int max_caps)
{
    struct levels f = levels_start(filter), t = levels_start(topic);
    int           count = 0;

    if (is_hidden(t.level) && (is_any(&f) || is_rest(&f))) {
        return -1;
    }
    for (;; levels_next(&f), levels_next(&t)) {
        if (is_rest(&f)) { /* matches the parent too: then nothing is left */
            size_t from = t.ended ? topic.n : (size_t)(t.level.p - topic.p);
            capture(caps, max_caps, &count, (struct sp_str){topic.p + from, topic.n - from});
            return count;
        }
        if (f.ended || t.ended) {
            return f.ended && t.ended ? count : -1;
        }
        if (is_any(&f)) {
            capture(caps, max_caps, &count, t.level);
        } else if (!sp_str_eq(f.level, t.level)) {
            return -1;
        }
    }
}

bool
sp_topic_matches(struct sp_str filter, struct sp_str topic)
{
    return sp_topic_match_captures(filter, topic, NULL, 0) >= 0;
}

bool
sp_topic_filters_overlap(struct sp_str a, struct sp_str b)
{
    struct levels x = levels_start(a), y = levels_start(b);

    if ((is_hidden(x.level) && (is_any(&y) || is_rest(&y))) || (is_hidden(y.level) && (is_any(&x) || is_rest(&x)))) {
        return false;
    }
    for (;; levels_next(&x), levels_next(&y)) {
        if (is_rest(&x) || is_rest(&y)) {
            return !(x.ended && is_parentless(&y)) && !(y.ended && is_parentless(&x));
        }
        if (x.ended || y.ended) {
            return x.ended && y.ended;
        }
        if (!is_any(&x) && !is_any(&y) && !sp_str_eq(x.level, y.level)) {
            return false;
        }
    }
}

bool
sp_topic_filter_covers(struct sp_str outer, struct sp_str inner)
{
    struct levels o = levels_start(outer), i = levels_start(inner);

    if (is_hidden(i.level) && (is_any(&o) || is_rest(&o))) {
        return false;
    }
    for (;; levels_next(&o), levels_next(&i)) {
        if (is_rest(&o)) {
            return true;
        }
        if (is_rest(&i)) { /* "+/#" is as wide as "#" only where the '#' has no parent to match */
            bool wide = is_parentless(&i) && is_any(&o);
            levels_next(&o);
            return wide && is_rest(&o);
        }
        if (o.ended || i.ended) {
            return o.ended && i.ended;
        }
        if (!is_any(&o) && (is_any(&i) || !sp_str_eq(o.level, i.level))) {
            return false;
        }
    }
}

/* How narrow a level is. */
static int
level_rank(const struct levels *l)
{
    if (is_rest(l)) {
        return 0;
    }
    if (l->ended) { /* "a/#" covers "a" */
        return 1;
    }
    return is_any(l) ? 2 : 3;
}

int
sp_topic_specificity(struct sp_str a, struct sp_str b)
{
    struct levels x = levels_start(a), y = levels_start(b);

    while (level_rank(&x) == level_rank(&y)) {
        if (x.ended || is_rest(&x)) {
            return 0;
        }
        levels_next(&x);
        levels_next(&y);
    }
    return level_rank(&x) - level_rank(&y);
}

bool
sp_topic_share_split(struct sp_str s, struct sp_str *group, struct sp_str *filter, bool *valid)
{
    struct sp_str prefix = SP_STR("$share/");

    if (!sp_str_prefix(s, prefix)) {
        return false;
    }
    *filter = (struct sp_str){s.p + prefix.n, s.n - prefix.n};
    *group = sp_str_cut(filter, '/');
    *valid = group->n > 0 && filter->n > 0 && !sp_topic_has_wildcard(*group);
    return true;
}
