#include "base/topic.h"

#include <stdlib.h>

#include "tap.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
test_validity(void)
{
    static const char *const good[] = {"a", "/", "a/b",   "a//b", "/a/", "$SYS/x", " ",
                                       "+", "#", "a/+/b", "a/#",  "/#",  "+/+/#",  "\xc3\xa4/+"};
    static const char *const bad[] = {"",   "a+",   "+a", "a/b+", "#/a",    "a/#/b",
                                      "a#", "a/#b", "##", "++",   "a/\xff", "a/b/c/d/e"};
    char                     large[SP_TOPIC_MAX_BYTES + 1];
    struct sp_str            s = {large, sizeof(large)};

    for (size_t i = 0; i < COUNT(good); i++) {
        struct sp_str f = sp_str_c(good[i]);

        ok(sp_topic_filter_valid(f, 4), "filter \"%s\" is valid", good[i]);
        ok(sp_topic_name_valid(f, 4) == !sp_topic_has_wildcard(f), "name \"%s\"", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct sp_str f = sp_str_c(bad[i]);

        ok(!sp_topic_filter_valid(f, 4) && !sp_topic_name_valid(f, 4), "bad %zu is not valid", i);
    }
    ok(!sp_topic_name_valid((struct sp_str){"a\0b", 3}, 4), "NUL");
    memset(large, 'x', sizeof(large));
    ok(!sp_topic_name_valid(s, 4) && !sp_topic_filter_valid(s, 4), "65,536 bytes");
    s.n--;
    ok(sp_topic_name_valid(s, 4) && sp_topic_filter_valid(s, 4), "65,535 bytes");
}

static void
test_captures(void)
{
    struct sp_str caps[4], topic = SP_STR("fleet/d1/up/a/b");

    is_int(sp_topic_match_captures(SP_STR("fleet/+/up/#"), topic, caps, 4), 2, "captures: count");
    ok(sp_str_is(caps[0], "d1") && sp_str_is(caps[1], "a/b") && caps[0].p == topic.p + 6, "captures: slices");
    is_int(sp_topic_match_captures(SP_STR("+/+/+/+/+"), topic, caps, 1), 5, "captures: more than there is room for");
    ok(sp_str_is(caps[0], "fleet"), "captures: the first");
    is_int(sp_topic_match_captures(SP_STR("fleet/d1/up/a/b/#"), topic, caps, 4), 1, "captures: '#' for the parent");
    ok(caps[0].n == 0 && caps[0].p == topic.p + topic.n, "captures: an empty rest");
    is_int(sp_topic_match_captures(SP_STR("#"), topic, caps, 4), 1, "captures: everything");
    ok(sp_str_eq(caps[0], topic), "captures: the whole");
    is_int(sp_topic_match_captures(SP_STR("a/+"), SP_STR("a/"), caps, 4), 1, "captures: an empty level");
    ok(caps[0].n == 0, "captures: is empty");
    is_int(sp_topic_match_captures(topic, topic, caps, 4), 0, "captures: none");
    is_int(sp_topic_match_captures(SP_STR("fleet/+"), topic, caps, 4), -1, "captures: no match");
}

static void
test_match_table(void)
{
    static const struct {
        const char *filter, *topic;
        bool        match;
    } cases[] = {
        /* MQTT 5 4.7.1 and 4.7.2 */
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/tennis/player1/#", "sport/tennis/player10", false},
        {"sport/#", "sport", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"#", "$SYS/x", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/", true},
        {"$SYS/#", "$SYS", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"#", "/", true},
        {"+/#", "a", true},
        {"a/+/#", "a", false},
        {"a/#", "a/$x", true},
        {"ACCOUNTS", "Accounts", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        ok(sp_topic_matches(sp_str_c(cases[i].filter), sp_str_c(cases[i].topic)) == cases[i].match, "%s %s %s",
           cases[i].filter, cases[i].match ? "matches" : "does not match", cases[i].topic);
    }
}

/* ---- against brute force ---- */

#define TOPICS_MAX 4096
#define TEXT_BYTES 24

static char   topics[TOPICS_MAX][TEXT_BYTES], filters[TOPICS_MAX][TEXT_BYTES];
static size_t topics_n, filters_n;

static const char *const topic_levels[] = {"a", "b", "c", "$a", ""}; /* c: what no filter names */
static const char *const filter_levels[] = {"a", "b", "$a", "", "+", "#"};

static size_t
generate(char (*out)[TEXT_BYTES], const char *const *levels, size_t levels_n, unsigned depth, unsigned max)
{
    size_t n = 0, at = 0, done;

    for (size_t i = 0; i < levels_n; i++) {
        (void)snprintf(out[n++], TEXT_BYTES, "%s", levels[i]);
    }
    for (unsigned d = 1; d < depth; d++) {
        for (done = n; at < done; at++) {
            for (size_t i = 0; i < levels_n && n < max; i++) {
                size_t len = strlen(out[at]);

                memcpy(out[n], out[at], len);
                out[n][len] = '/';
                memcpy(out[n] + len + 1, levels[i], strlen(levels[i]) + 1);
                n++;
            }
        }
    }
    return n;
}

static void
keep_filters(void)
{
    size_t n = 0;

    for (size_t i = 0; i < filters_n; i++) {
        if (sp_topic_filter_valid(sp_str_c(filters[i]), 9)) {
            memmove(filters[n++], filters[i], TEXT_BYTES);
        }
    }
    filters_n = n;
}

/* MQTT 5 4.7 once more, recursively and plainly. */
static bool
plain_match(const char *f, const char *t, bool first)
{
    size_t fn = strcspn(f, "/"), tn = strcspn(t, "/");
    bool   hidden = first && t[0] == '$';

    if (strcmp(f, "#") == 0) {
        return !hidden;
    }
    if (f[0] == '+' ? hidden : fn != tn || memcmp(f, t, fn) != 0) {
        return false;
    }
    if (t[tn] == '\0') {
        return f[fn] == '\0' || strcmp(f + fn, "/#") == 0;
    }
    return f[fn] == '/' && plain_match(f + fn + 1, t + tn + 1, false);
}

static void
test_brute_force(void)
{
    unsigned match_wrong = 0, overlap_wrong = 0, covers_wrong = 0, order_wrong = 0;
    bool    *hits;

    topics_n = generate(topics, topic_levels, COUNT(topic_levels), 4, TOPICS_MAX);
    filters_n = generate(filters, filter_levels, COUNT(filter_levels), 3, TOPICS_MAX);
    keep_filters();
    hits = calloc(filters_n, topics_n);
    for (size_t f = 0; f < filters_n; f++) {
        for (size_t t = 0; t < topics_n; t++) {
            bool hit = topics[t][0] != '\0' && plain_match(filters[f], topics[t], true);

            hits[f * topics_n + t] = hit;
            if (topics[t][0] != '\0') {
                match_wrong += sp_topic_matches(sp_str_c(filters[f]), sp_str_c(topics[t])) != hit;
            }
        }
    }
    for (size_t a = 0; a < filters_n; a++) {
        for (size_t b = 0; b < filters_n; b++) {
            struct sp_str x = sp_str_c(filters[a]), y = sp_str_c(filters[b]);
            bool          both = false, all = true, covers = sp_topic_filter_covers(x, y);
            int           order = sp_topic_specificity(x, y), back = sp_topic_specificity(y, x);

            for (size_t t = 0; t < topics_n; t++) {
                both = both || (hits[a * topics_n + t] && hits[b * topics_n + t]);
                all = all && (hits[a * topics_n + t] || !hits[b * topics_n + t]);
            }
            overlap_wrong += sp_topic_filters_overlap(x, y) != both;
            if (covers != all && covers_wrong++ < 10) {
                printf("# covers: %s, %s: %d\n", filters[a], filters[b], covers);
            }
            order_wrong += (order > 0) != (back < 0) || (order == 0) != (back == 0);
            if (covers && !sp_topic_filter_covers(y, x)) { /* strictly wider: less specific */
                order_wrong += order >= 0;
            }
        }
    }
    printf("# %zu filters, %zu topics\n", filters_n, topics_n);
    is_int(match_wrong, 0, "brute force: matches");
    is_int(overlap_wrong, 0, "brute force: filters_overlap");
    is_int(covers_wrong, 0, "brute force: filter_covers");
    is_int(order_wrong, 0, "brute force: specificity is an order, and a filter comes before what covers it");
    free(hits);
}

static void
test_specificity(void)
{
    static const char *const from_most[] = {"a/b/c", "a/b/+", "a/b", "a/b/#", "a/+/c", "a/+",
                                            "a/+/#", "a",     "a/#", "+/b",   "+",     "#"};
    bool                     good = true;

    for (size_t i = 0; i < COUNT(from_most); i++) {
        for (size_t j = 0; j < COUNT(from_most); j++) {
            int order = sp_topic_specificity(sp_str_c(from_most[i]), sp_str_c(from_most[j]));
            good = good && (i < j ? order > 0 : i > j ? order < 0 : order == 0);
        }
    }
    ok(good, "specificity: a sorted list");
    is_int(sp_topic_specificity(SP_STR("a/+/x"), SP_STR("b/+/y")), 0, "specificity: equal shape");
}

static void
test_share(void)
{
    struct sp_str group, filter;
    bool          valid;

    ok(sp_topic_share_split(SP_STR("$share/g/a/#"), &group, &filter, &valid) && valid, "share");
    ok(sp_str_is(group, "g") && sp_str_is(filter, "a/#"), "share: parts");
    ok(sp_topic_share_split(SP_STR("$share/g//a"), &group, &filter, &valid) && valid, "share: /a");
    ok(sp_str_is(filter, "/a"), "share: an empty first level");
    ok(sp_topic_share_split(SP_STR("$share/g"), &group, &filter, &valid) && !valid, "share: no filter");
    ok(sp_topic_share_split(SP_STR("$share/g/"), &group, &filter, &valid) && !valid, "share: empty filter");
    ok(sp_topic_share_split(SP_STR("$share//a"), &group, &filter, &valid) && !valid, "share: empty group");
    ok(sp_topic_share_split(SP_STR("$share/g+/a"), &group, &filter, &valid) && !valid, "share: '+' in the group");
    ok(sp_topic_share_split(SP_STR("$share/#/a"), &group, &filter, &valid) && !valid, "share: '#' as the group");
    ok(!sp_topic_share_split(SP_STR("$share"), &group, &filter, &valid), "share: not with only the word");
    ok(!sp_topic_share_split(SP_STR("$shared/g/a"), &group, &filter, &valid), "share: another word");
}

int
main(void)
{
    test_validity();
    test_captures();
    test_match_table();
    test_brute_force();
    test_specificity();
    test_share();
    return done_testing();
}
