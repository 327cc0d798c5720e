/* Templates and what filters have in common, against brute force over small filters and topics. */
#include <stdlib.h>

#include "base/topic.h"
#include "modules/policy_resolver/match.h"
#include "tap.h"

static struct sp_arena *arena;

static bool
parse(enum sp_dialect dialect, const char *text, struct sp_template *t)
{
    size_t      at;
    const char *why;

    return sp_template_parse(arena, dialect, sp_str_c(text), t, &at, &why) == 0;
}

/* The filter for these references, "-" when there is none. */
static const char *
means(enum sp_dialect dialect, const char *text, const char *identity, const char *around, const char *topic,
      bool strict)
{
    static char          out[200];
    static struct sp_str caps[SP_CAPTURES_MAX];
    struct sp_scratch    scratch = {0};
    struct sp_references r = {sp_str_c(identity), SP_STR("client"), caps, 0, NULL, strict};
    struct sp_template   t;
    struct sp_str        filter;

    if (!parse(dialect, text, &t)) {
        return "malformed";
    }
    if (around != NULL) {
        r.ncaptures = sp_topic_match_captures(sp_str_c(around), sp_str_c(topic), caps, SP_CAPTURES_MAX);
    }
    (void)snprintf(out, sizeof(out), "-");
    if (sp_template_filter(&t, &r, &scratch, &filter)) {
        (void)snprintf(out, sizeof(out), "%.*s", SP_STR_ARG(filter));
    }
    sp_scratch_free(&scratch);
    return out;
}

static void
templates(void)
{
    enum sp_dialect R = SP_DIALECT_RULE, A = SP_DIALECT_ACLFILE;

    is_str(means(R, "/a/+/#", "x", NULL, NULL, true), "/a/+/#", "a plain filter");
    is_str(means(R, "%i/%i", "joe", NULL, NULL, true), "joe/joe", "identity");
    is_str(means(R, "a-%i-b/+", "joe", NULL, NULL, true), "a-joe-b/+", "within a level");
    is_str(means(R, "100%%/%%i", "joe", NULL, NULL, true), "100%/%i", "percent signs");
    is_str(means(R, "%2/%1", "joe", "a/+/#", "a/b/c/d", true), "c/d/b", "captures");
    is_str(means(R, "%1/x", "joe", "a/#", "a", true), "/x", "an empty capture");
    is_str(means(R, "%3", "joe", "a/+/#", "a/b/c", true), "-", "a capture that is not there");
    is_str(means(R, "x/%i", "a/b", NULL, NULL, true), "-", "strict: no slash");
    is_str(means(R, "x/%i", "a/b", NULL, NULL, false), "x/a/b", "else a slash");
    is_str(means(R, "x/%i", "a+", NULL, NULL, false), "-", "no wildcard in any case");
    is_str(means(R, "%i", "$SYS", NULL, NULL, true), "-", "no $ topic out of a reference");
    is_str(means(R, "%i", "", NULL, NULL, true), "-", "no empty filter");
    is_str(means(R, "a/%x", "j", NULL, NULL, true), "malformed", "an unknown reference");
    is_str(means(R, "a/%", "j", NULL, NULL, true), "malformed", "a percent sign at the end");
    is_str(means(R, "a/%0", "j", NULL, NULL, true), "malformed", "there is no %%0");
    is_str(means(R, "a/#/b", "j", NULL, NULL, true), "malformed", "# in the middle");
    is_str(means(R, "a/%i#", "j", NULL, NULL, true), "malformed", "# in a level");
    is_str(means(R, "", "j", NULL, NULL, true), "malformed", "nothing");
    is_str(means(A, "a/%u/%c", "joe", NULL, NULL, false), "a/joe/client", "user and client id");
    is_str(means(A, "a/%i/%", "joe", NULL, NULL, false), "a/%i/%", "other percent signs stay in an aclfile");
    is_str(means(A, "foo%ubar", "joe", NULL, NULL, false), "foojoebar", "within a level");
}

static const char *
widest(const char *text)
{
    static char        out[100];
    struct sp_scratch  scratch = {0};
    struct sp_template t;
    struct sp_str      filter = SP_STR("?");

    if (parse(SP_DIALECT_RULE, text, &t)) {
        (void)sp_template_widest(&t, &scratch, &filter);
    }
    (void)snprintf(out, sizeof(out), "%.*s", SP_STR_ARG(filter));
    sp_scratch_free(&scratch);
    return out;
}

static const char *
around(const char *text, const char *filter)
{
    static char          out[100];
    struct sp_str        f = sp_str_c(filter), got = SP_STR("-");
    struct sp_references r = {.identity = SP_STR("joe"), .around = &f, .strict = true};
    struct sp_scratch    scratch = {0};
    struct sp_template   t;

    if (parse(SP_DIALECT_RULE, text, &t)) {
        (void)sp_template_filter(&t, &r, &scratch, &got);
    }
    (void)snprintf(out, sizeof(out), "%.*s", SP_STR_ARG(got));
    sp_scratch_free(&scratch);
    return out;
}

static void
widening(void)
{
    is_str(widest("a/b"), "a/b", "widest of a plain filter");
    is_str(widest("a/%i/b"), "a/+/b", "%%i is one level");
    is_str(widest("a/x%iy/b/"), "a/+/b/", "or part of one");
    is_str(widest("a/%1/b"), "a/#", "%%1 may be many");
    is_str(widest("%1"), "#", "or all");
    is_str(around("a/%1/b", "a/+/#"), "a/+/b", "within a filter %%1 is as wide as its wildcard");
    is_str(around("a/%2/b", "a/+/#"), "a/#", "here many levels");
    is_str(around("a/%3/b", "a/+/#"), "-", "here nothing");
    is_str(around("%i/%1x", "a/+/#"), "joe/+", "with an identity");
}

/* ---- brute force ---- */

static struct sp_str *filters, *topics;
static unsigned       nfilters, ntopics;

static void
generate(char *text, size_t n, unsigned depth, unsigned max, bool filter)
{
    static const char *const levels[] = {"a", "b", "", "$s", "+", "#"};

    for (unsigned i = 0; i < (filter ? 6u : 4u); i++) {
        size_t m = n + (size_t)sprintf(text + n, "%s%s", depth > 0 ? "/" : "", levels[i]);

        if (m > 0) {
            struct sp_str s = sp_arena_str(arena, (struct sp_str){text, m});
            if (filter) {
                filters[nfilters++] = s;
            } else {
                topics[ntopics++] = s;
            }
        }
        if (depth + 1 < max && levels[i][0] != '#') {
            generate(text, m, depth + 1, max, filter);
        }
    }
}

static void
intersections(void)
{
    struct sp_scratch scratch = {0};
    unsigned long     wrong = 0, asked = 0;

    for (unsigned i = 0; i < nfilters; i++) {
        for (unsigned j = 0; j < nfilters; j++) {
            struct sp_str both = {NULL, 0};
            bool          some = sp_filter_intersect(filters[i], filters[j], &scratch, &both);

            if (some && !sp_topic_filter_valid(both, 100)) {
                wrong++;
            }
            for (unsigned t = 0; t < ntopics; t++, asked++) {
                bool want = sp_topic_matches(filters[i], topics[t]) && sp_topic_matches(filters[j], topics[t]);
                bool got = some && sp_topic_matches(both, topics[t]);
                if (want != got && wrong++ < 5) {
                    printf("# %.*s and %.*s: %.*s, topic %.*s\n", SP_STR_ARG(filters[i]), SP_STR_ARG(filters[j]),
                           SP_STR_ARG(both), SP_STR_ARG(topics[t]));
                }
            }
        }
    }
    is_int(wrong, 0, "the intersection of two filters matches what both match (%lu questions)", asked);
    sp_scratch_free(&scratch);
}

static void
fixing(void)
{
    struct sp_scratch scratch = {0};
    struct sp_str     fixed, caps[SP_CAPTURES_MAX];
    unsigned long     wrong = 0;

    for (unsigned i = 0; i < nfilters; i++) {
        int wildcards = sp_filter_wildcards(filters[i]);
        for (unsigned t = 0; t < ntopics; t++) {
            int n = sp_topic_match_captures(filters[i], topics[t], caps, SP_CAPTURES_MAX);
            wrong += n >= 0 && n != wildcards;
            for (int c = 1; c <= n; c++) {
                struct sp_str with = caps[c - 1];
                /* "a/#" for the topic "a" captures nothing, which "a/" does not say */
                bool parent = with.n == 0 && filters[i].p[filters[i].n - 1] == '#' && c == n;
                wrong += !parent &&
                         (!sp_filter_fix(filters[i], c, with, &scratch, &fixed) || !sp_topic_matches(fixed, topics[t]));
            }
        }
        wrong += sp_filter_fix(filters[i], wildcards + 1, SP_STR("x"), &scratch, &fixed);
    }
    is_int(wrong, 0, "a filter with a wildcard fixed to what it matched still matches");
    ok(!sp_filter_fix(SP_STR("a/+"), 1, SP_STR("b/c"), &scratch, &fixed), "+ is one level");
    ok(!sp_filter_fix(SP_STR("a/#"), 1, SP_STR("+"), &scratch, &fixed), "no wildcard in its place");
    sp_scratch_free(&scratch);
}

int
main(void)
{
    char text[100];

    if (sp_arena_create(&arena) < 0) {
        return 1;
    }
    filters = calloc(10000, sizeof(*filters));
    topics = calloc(10000, sizeof(*topics));
    templates();
    widening();
    generate(text, 0, 0, 3, true);
    generate(text, 0, 0, 4, false);
    intersections();
    fixing();
    free(filters);
    free(topics);
    sp_arena_destroy(arena);
    return done_testing();
}
