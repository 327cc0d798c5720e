#include "base/trie.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/topic.h"
#include "tap.h"

#define ITEMS     3000
#define DEEP      30000
#define DEEP_TEXT 65536

struct item {
    char     text[40];
    unsigned seen;
    bool     in;
};

static struct item items[ITEMS];
static unsigned    calls, stop_after;

static void
see(void *value, void *arg)
{
    (void)arg;
    ((struct item *)value)->seen++;
    calls++;
}

static bool
see_until(void *value, void *arg)
{
    see(value, arg);
    return calls < stop_after;
}

static void
reset(void)
{
    for (size_t i = 0; i < ITEMS; i++) {
        items[i].seen = 0;
    }
    calls = 0;
    stop_after = UINT32_MAX;
}

static void
test_basics(void)
{
    struct sp_trie *t;
    size_t          empty;
    void          **place;
    static char     a[] = "a/b", rest[] = "a/b/#";

    is_int(sp_trie_create(&t), 0, "create");
    empty = sp_trie_bytes(t);
    place = sp_trie_put(t, sp_str_c(a));
    ok(place != NULL && *place == NULL && sp_trie_count(t) == 1, "put: an empty place");
    *place = a;
    ok(sp_trie_put(t, sp_str_c(a)) == place && sp_trie_count(t) == 1, "put: the same place again");
    *sp_trie_put(t, sp_str_c(rest)) = rest;
    ok(sp_trie_get(t, sp_str_c(a)) == a && sp_trie_get(t, sp_str_c(rest)) == rest, "get");
    ok(sp_trie_get(t, SP_STR("a")) == NULL && sp_trie_get(t, SP_STR("a/b/c")) == NULL, "get: not there");
    ok(sp_trie_remove(t, SP_STR("a")) == NULL && sp_trie_count(t) == 2, "remove: not there");
    ok(sp_trie_remove(t, sp_str_c(a)) == a && sp_trie_get(t, sp_str_c(rest)) == rest, "remove: only that one");
    ok(sp_trie_remove(t, sp_str_c(rest)) == rest && sp_trie_count(t) == 0, "remove: the last one");
    is_int((long long)sp_trie_bytes(t), (long long)empty, "no node is left");
    (void)sp_trie_put(t, SP_STR("x/y"));
    reset();
    sp_trie_match(t, SP_STR("x/y"), see, NULL);
    is_int(calls, 0, "an empty place is passed over");
    ok(sp_trie_remove(t, SP_STR("x/y")) == NULL && sp_trie_count(t) == 0, "and can be removed");
    sp_trie_destroy(t);
    sp_trie_destroy(NULL);
}

static void
random_text(char *out, const char *const *levels, unsigned levels_n)
{
    unsigned depth = 1 + (unsigned)rand() % 5;

    *out = '\0';
    for (unsigned i = 0; i < depth; i++) {
        strcat(out, levels[(unsigned)rand() % levels_n]);
        if (i + 1 < depth) {
            strcat(out, "/");
        }
    }
}

static const char *const topic_levels[] = {"a",  "b",  "c",  "$a", "",   "x0", "x1", "x2",
                                           "x3", "x4", "x5", "x6", "x7", "x8", "x9"};
static const char *const filter_levels[] = {"a",  "b",  "",   "$a", "+",  "+",  "x0", "x1",
                                            "x2", "x3", "x4", "x5", "x6", "x7", "#"};

static bool
known(size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(items[i].text, items[j].text) == 0) {
            return true;
        }
    }
    return false;
}

static void
make_items(const char *const *levels, bool names)
{
    for (size_t i = 0; i < ITEMS; i++) {
        do {
            random_text(items[i].text, levels, 15);
        } while (!sp_topic_filter_valid(sp_str_c(items[i].text), 9) || known(i));
        items[i].in = false;
        if (names && sp_topic_has_wildcard(sp_str_c(items[i].text))) {
            abort();
        }
    }
}

/* Puts or removes some at random. */
static bool
shuffle(struct sp_trie *t, unsigned rounds, unsigned puts_of_8)
{
    for (unsigned r = 0; r < rounds; r++) {
        struct item *i = &items[(unsigned)rand() % ITEMS];

        if ((unsigned)rand() % 8 < puts_of_8) {
            *sp_trie_put(t, sp_str_c(i->text)) = i;
            i->in = true;
        } else {
            if (sp_trie_remove(t, sp_str_c(i->text)) != (i->in ? i : NULL)) {
                return false;
            }
            i->in = false;
        }
    }
    return true;
}

static bool
remove_all(struct sp_trie *t)
{
    for (size_t i = 0; i < ITEMS; i++) {
        if (sp_trie_remove(t, sp_str_c(items[i].text)) != (items[i].in ? &items[i] : NULL)) {
            return false;
        }
        items[i].in = false;
    }
    return sp_trie_count(t) == 0;
}

/* Exactly those were seen, once each, that are in and match. */
static bool
seen_right(const char *text, bool text_is_filter)
{
    for (size_t i = 0; i < ITEMS; i++) {
        struct sp_str mine = sp_str_c(items[i].text), other = sp_str_c(text);
        bool          match = text_is_filter ? sp_topic_matches(other, mine) : sp_topic_matches(mine, other);

        if (items[i].seen != (items[i].in && match)) {
            printf("# %s, %s: seen %u\n", items[i].text, text, items[i].seen);
            return false;
        }
    }
    return true;
}

static bool
walk_right(const struct sp_trie *t)
{
    bool good;

    reset();
    sp_trie_walk(t, see_until, NULL);
    good = calls == sp_trie_count(t);
    for (size_t i = 0; i < ITEMS; i++) {
        good = good && items[i].seen == items[i].in;
        good = good && sp_trie_get(t, sp_str_c(items[i].text)) == (items[i].in ? &items[i] : NULL);
    }
    return good;
}

static bool
look_right(const struct sp_trie *t, bool names)
{
    for (unsigned i = 0; i < 300; i++) {
        char text[40];

        do {
            random_text(text, names ? filter_levels : topic_levels, 15);
        } while (!sp_topic_filter_valid(sp_str_c(text), 9));
        reset();
        if (names) {
            sp_trie_search(t, sp_str_c(text), see_until, NULL);
        } else {
            sp_trie_match(t, sp_str_c(text), see, NULL);
        }
        if (!seen_right(text, names)) {
            return false;
        }
    }
    return true;
}

static void
test_random(bool names)
{
    struct sp_trie *t;
    size_t          empty;
    bool            good = true;

    (void)sp_trie_create(&t);
    empty = sp_trie_bytes(t);
    make_items(names ? topic_levels : filter_levels, names);
    for (unsigned round = 0; good && round < 8; round++) {
        good = shuffle(t, 4000, 1 + round % 4 * 2) && walk_right(t) && look_right(t, names);
    }
    ok(good, "random %s agree with sp_topic_matches", names ? "names and searches" : "filters and matches");
    ok(remove_all(t) && sp_trie_bytes(t) == empty, "and leave nothing behind");
    sp_trie_destroy(t);
}

static void
test_stops(void)
{
    struct sp_trie *t;

    (void)sp_trie_create(&t);
    make_items(topic_levels, true);
    (void)shuffle(t, 4000, 8);
    for (stop_after = 1; stop_after < 5; stop_after++) {
        unsigned want = stop_after;

        calls = 0;
        sp_trie_walk(t, see_until, NULL);
        ok(calls == want, "walk stops after %u", want);
        calls = 0;
        sp_trie_search(t, SP_STR("#"), see_until, NULL);
        ok(calls == want, "search stops after %u", want);
        calls = 0;
        sp_trie_search(t, SP_STR("+/+"), see_until, NULL);
        ok(calls == want, "search with '+' stops after %u", want);
    }
    sp_trie_destroy(t); /* with all that is in it */
}

/* Much deeper than any sensible limit on levels, so that a stack would not do. */
static void
test_deep(void)
{
    static char     name[DEEP_TEXT], filter[DEEP_TEXT];
    struct sp_trie *t;
    size_t          n = 0;

    for (; n < 2 * DEEP - 1; n += 2) {
        memcpy(name + n, "a/", 2);
        memcpy(filter + n, "+/", 2);
    }
    (void)sp_trie_create(&t);
    *sp_trie_put(t, (struct sp_str){name, n - 1}) = &items[0];
    reset();
    sp_trie_search(t, (struct sp_str){filter, n - 1}, see_until, NULL);
    sp_trie_search(t, SP_STR("#"), see_until, NULL);
    sp_trie_walk(t, see_until, NULL);
    is_int(calls, 3, "%d levels: search and walk", DEEP);
    *sp_trie_put(t, (struct sp_str){filter, n - 1}) = &items[1];
    filter[n] = '#';
    *sp_trie_put(t, (struct sp_str){filter, n + 1}) = &items[2];
    reset();
    sp_trie_match(t, (struct sp_str){name, n - 1}, see, NULL);
    is_int(calls, 3, "%d levels: match", DEEP);
    ok(sp_trie_remove(t, (struct sp_str){name, n - 1}) == &items[0] && sp_trie_count(t) == 2, "%d levels: remove",
       DEEP);
    sp_trie_destroy(t);
    ok(true, "%d levels: destroy", DEEP);
}

static void
test_many(void)
{
    struct sp_trie *t;
    char            text[40];
    unsigned        wrong = 0;

    (void)sp_trie_create(&t);
    for (unsigned i = 0; i < 100000; i++) {
        int n = snprintf(text, sizeof(text), "fleet/d%u/up", i);
        *sp_trie_put(t, (struct sp_str){text, (size_t)n}) = &items[i % ITEMS];
    }
    is_int(sp_trie_count(t), 100000, "many: count");
    ok(sp_trie_bytes(t) / 200000 < 150, "many: %zu bytes a node", sp_trie_bytes(t) / 200000);
    reset();
    sp_trie_search(t, SP_STR("fleet/+/up"), see_until, NULL);
    is_int(calls, 100000, "many: searched");
    for (unsigned i = 0; i < 100000; i++) {
        int n = snprintf(text, sizeof(text), "fleet/d%u/up", i);
        wrong += sp_trie_remove(t, (struct sp_str){text, (size_t)n}) != &items[i % ITEMS];
    }
    ok(wrong == 0 && sp_trie_count(t) == 0, "many: removed");
    ok(sp_trie_bytes(t) < 1000, "many: and the tables with them");
    sp_trie_destroy(t);
}

int
main(void)
{
    srand(1);
    test_basics();
    test_random(false);
    test_random(true);
    test_stops();
    test_deep();
    test_many();
    return done_testing();
}
