/*
 * Random policies against brute force: decide() against a plain reading of the rules; grant() against the topics of a small
 * world; and the order of statements, which must not matter.
 */
#include "base/topic.h"
#include "resolver_conf.h"

enum { NRULES = 10, NTOPICS = 3, NREALMS = 3, NCLAIMS = 3 };

struct rule {
    bool        deny;
    const char *subject, *filter;
    int         action; /* 1 publish, 2 subscribe, 3 any */
};

struct scope {
    const char *filter; /* of a topic block */
    struct rule rules[NRULES];
    unsigned    nrules;
    bool        cut_allow, cut_deny;
};

struct realm {
    const char  *claims[NCLAIMS];
    unsigned     nclaims, ntopics;
    struct scope own, topics[NTOPICS], application;
};

struct world {
    struct scope global;
    struct realm realms[NREALMS];
    unsigned     nrealms;
    bool         unknown_global, within;
};

static const char *const filters[] = {"#", "a/#", "a/+", "+/b",  "a/b",  "a/b/#", "b/#",   "+/+/c", "+",
                                      "a", "b",   "b/c", "$x/#", "$x/a", "a/b/c", "+/b/#", "/#",    "a/c"};
static const char *const rule_filters[] = {"#",     "a/#",  "a/+",  "+/b",  "a/b", "a/b/#", "b/#",
                                           "+/+/c", "+",    "a",    "b",    "b/c", "$x/#",  "a/%i",
                                           "+/%i",  "%i/#", "a/%1", "%1/b", "+/c", "/#",    "b/%2"};
static const char *const subjects[] = {"al", "bo", "@g", "~^a", "*", "anonymous", "%1"};
static const char *const people[] = {"al", "bo", "b", "z", "anonymous", "a/b", "c"};
static struct sp_str    *topics;
static unsigned          ntopics;

#define PICK(list) (list)[pick(sizeof(list) / sizeof((list)[0]))]

static unsigned
pick(size_t n)
{
    return (unsigned)rand() % (unsigned)n;
}

static void
make_topics(char *text, size_t n, unsigned depth)
{
    static const char *const levels[] = {"a", "b", "c", "al", "z", "", "$x"};

    for (unsigned i = 0; i < 7; i++) {
        size_t m = n + (size_t)sprintf(text + n, "%s%s", depth > 0 ? "/" : "", levels[i]);
        if (m > 0) {
            topics[ntopics++] = (struct sp_str){strndup(text, m), m};
        }
        if (depth < 2) {
            make_topics(text, m, depth + 1);
        }
    }
}

static int
wildcards(const char *filter)
{
    int n = 0;

    for (; *filter != '\0'; filter++) {
        n += *filter == '+' || *filter == '#';
    }
    return n;
}

/* `around`: how many wildcards the enclosing filter has. */
static void
make_scope(struct scope *s, unsigned rules, int around)
{
    s->nrules = 0;
    while (s->nrules < rules) {
        struct rule r = {pick(5) == 0, PICK(subjects), PICK(rule_filters), (int)pick(3) + 1};
        const char *percent = strchr(r.filter, '%');
        int         need = percent != NULL && percent[1] != 'i' ? percent[1] - '0' : 0;
        need = r.subject[0] == '%' && need < 1 ? 1 : need;
        if (need <= around) {
            s->rules[s->nrules++] = r;
        }
    }
    s->cut_allow = pick(12) == 0;
    s->cut_deny = pick(12) == 0;
}

static bool
claimed(const struct world *w, const char *filter)
{
    for (unsigned r = 0; r < w->nrealms; r++) {
        for (unsigned c = 0; c < w->realms[r].nclaims; c++) {
            if (strcmp(w->realms[r].claims[c], filter) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void
make_realm(struct world *w)
{
    struct realm *r = &w->realms[w->nrealms++];
    int           around = 0;

    for (unsigned i = 1 + pick(NCLAIMS); i > 0; i--) {
        const char *f = PICK(filters);
        if (!claimed(w, f)) {
            r->claims[r->nclaims++] = f;
            around = wildcards(f) > around ? wildcards(f) : around;
        }
    }
    make_scope(&r->own, pick(NRULES), around);
    make_scope(&r->application, pick(2), around);
    for (unsigned i = pick(NTOPICS + 1); i > 0; i--) {
        const char *f = PICK(filters);
        bool        twice = false;
        for (unsigned t = 0; t < r->ntopics; t++) {
            twice = twice || strcmp(r->topics[t].filter, f) == 0;
        }
        if (!twice) {
            make_scope(&r->topics[r->ntopics], pick(3), wildcards(f));
            r->topics[r->ntopics++].filter = f;
        }
    }
}

static void
make_world(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->unknown_global = pick(2);
    w->within = pick(3) == 0;
    make_scope(&w->global, pick(4), 0);
    for (unsigned i = pick(NREALMS + 1); i > 0; i--) {
        make_realm(w);
    }
}

/* ---- as text, in any order ---- */

struct lines {
    char    *at[64];
    unsigned n;
};

static void
add_line(struct lines *l, char *line)
{
    l->at[l->n++] = line;
}

static char *
join(struct lines *l, bool shuffle)
{
    size_t n = 1;
    char  *all;

    for (unsigned i = l->n; shuffle && i > 1; i--) {
        unsigned j = pick(i);
        char    *t = l->at[i - 1];
        l->at[i - 1] = l->at[j];
        l->at[j] = t;
    }
    for (unsigned i = 0; i < l->n; i++) {
        n += strlen(l->at[i]) + 1;
    }
    all = calloc(1, n);
    for (unsigned i = 0; i < l->n; i++) {
        (void)strcat(strcat(all, l->at[i]), "\n");
        free(l->at[i]);
    }
    return all;
}

static char *
format(const char *fmt, ...)
{
    va_list ap;
    char   *text = NULL;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) {
        abort();
    }
    va_end(ap);
    return text;
}

static void
add_rules(struct lines *l, const struct scope *s, bool level)
{
    static const char *const actions[] = {"", "publish", "subscribe", "any"};

    for (unsigned i = 0; i < s->nrules; i++) {
        add_line(l, format("%s \"%s\" %s \"%s\";", s->rules[i].deny ? "deny" : "allow", s->rules[i].subject,
                           actions[s->rules[i].action], s->rules[i].filter));
    }
    if (level && s->cut_allow) {
        add_line(l, format("allow reset;"));
    }
    if (level && s->cut_deny) {
        add_line(l, format("deny reset;"));
    }
}

static char *
wrap(const char *head, struct lines *l, bool shuffle)
{
    char *inner = join(l, shuffle), *text = format("%s {\n%s}", head, inner);

    free(inner);
    return text;
}

static char *
realm_text(const struct realm *r, unsigned number, bool shuffle)
{
    struct lines l = {.n = 0}, inner;
    char        *head, *text;

    for (unsigned c = 0; c < r->nclaims; c++) {
        add_line(&l, format("topics \"%s\";", r->claims[c]));
    }
    add_rules(&l, &r->own, true);
    for (unsigned t = 0; t < r->ntopics; t++) {
        inner.n = 0;
        add_rules(&inner, &r->topics[t], true);
        head = format("topic \"%s\"", r->topics[t].filter);
        add_line(&l, wrap(head, &inner, shuffle));
        free(head);
    }
    inner.n = 0;
    add_rules(&inner, &r->application, true);
    add_line(&l, wrap("application app", &inner, shuffle));
    head = format("realm r%u", number);
    text = wrap(head, &l, shuffle);
    free(head);
    return text;
}

static char *
world_text(const struct world *w, bool shuffle)
{
    struct lines l = {.n = 0}, inner = {.n = 0};

    add_line(&inner, format("unknown_realm %s;", w->unknown_global ? "global" : "deny"));
    add_line(&inner, format("subscription %s;", w->within ? "within" : "overlap"));
    add_rules(&inner, &w->global, false);
    add_line(&l, wrap("policy", &inner, shuffle));
    add_line(&l, format("group g bo ~^z;"));
    for (unsigned r = 0; r < w->nrealms; r++) {
        add_line(&l, realm_text(&w->realms[r], r, shuffle));
    }
    return join(&l, shuffle);
}

/* ---- a plain reading ---- */

static bool
expand(const char *filter, const char *identity, bool deny, const struct sp_str *caps, int ncaps, char *out)
{
    char *begin = out;

    for (const char *f = filter; *f != '\0'; f++) {
        if (*f != '%') {
            *out++ = *f;
            continue;
        }
        f++;
        if (*f == 'i') {
            if (strpbrk(identity, "+#") != NULL || (!deny && strchr(identity, '/') != NULL)) {
                return false;
            }
            out += sprintf(out, "%s", identity);
        } else {
            if (*f - '0' > ncaps) {
                return false;
            }
            out += sprintf(out, "%.*s", SP_STR_ARG(caps[*f - '1']));
        }
    }
    *out = '\0';
    return *begin != '\0' && (*begin != '$' || *filter == '$');
}

static bool
means(const struct rule *r, const char *identity, const struct sp_str *caps, int ncaps)
{
    bool anonymous = strcmp(identity, "anonymous") == 0;

    switch (r->subject[0]) {
    case '@':
        return !anonymous && (strcmp(identity, "bo") == 0 || identity[0] == 'z');
    case '~':
        return !anonymous && identity[0] == 'a';
    case '*':
        return !anonymous;
    case '%':
        return !anonymous && ncaps > 0 && sp_str_is(caps[0], identity);
    default:
        return strcmp(r->subject, identity) == 0;
    }
}

struct verdict {
    bool allow, deny, no_allow, no_deny;
};

static void
judge(const struct scope *s, const char *around, const char *identity, int action, struct sp_str topic,
      struct verdict *v)
{
    struct sp_str caps[9];
    int           n = around == NULL ? 0 : sp_topic_match_captures(sp_str_c(around), topic, caps, 9);
    char          filter[100];

    for (unsigned i = 0; i < s->nrules; i++) {
        const struct rule *r = &s->rules[i];
        if ((r->action & action) == 0 || !means(r, identity, caps, n) ||
            !expand(r->filter, identity, r->deny, caps, n, filter) || !sp_topic_matches(sp_str_c(filter), topic)) {
            continue;
        }
        v->deny = v->deny || (r->deny && !v->no_deny);
        v->allow = v->allow || (!r->deny && !v->no_allow);
    }
    v->no_allow = v->no_allow || s->cut_allow;
    v->no_deny = v->no_deny || s->cut_deny;
}

/* The topic blocks that match, the most specific first. */
static unsigned
blocks(const struct realm *r, struct sp_str topic, const struct scope **out)
{
    unsigned n = 0;

    for (unsigned t = 0; t < r->ntopics; t++) {
        unsigned i = n;
        if (!sp_topic_matches(sp_str_c(r->topics[t].filter), topic)) {
            continue;
        }
        for (; i > 0 && sp_topic_specificity(sp_str_c(r->topics[t].filter), sp_str_c(out[i - 1]->filter)) > 0; i--) {
            out[i] = out[i - 1];
        }
        out[i] = &r->topics[t];
        n++;
    }
    return n;
}

static bool
expected(const struct world *w, const char *identity, bool application, int action, struct sp_str topic)
{
    const struct realm *realm = NULL;
    const struct scope *at[NTOPICS];
    const char         *claim = NULL;
    struct verdict      v = {false, false, false, false};

    for (unsigned r = 0; r < w->nrealms; r++) {
        for (unsigned c = 0; c < w->realms[r].nclaims; c++) {
            struct sp_str f = sp_str_c(w->realms[r].claims[c]);
            if (sp_topic_matches(f, topic) && (claim == NULL || sp_topic_specificity(f, sp_str_c(claim)) > 0)) {
                claim = f.p;
                realm = &w->realms[r];
            }
        }
    }
    if (realm == NULL && topic.p[0] != '$' && !w->unknown_global) {
        return false;
    }
    if (realm != NULL) {
        unsigned n = blocks(realm, topic, at);
        if (application) {
            judge(&realm->application, claim, identity, action, topic, &v);
        }
        for (unsigned i = 0; i < n; i++) {
            judge(at[i], at[i]->filter, identity, action, topic, &v);
        }
        judge(&realm->own, claim, identity, action, topic, &v);
    }
    judge(&w->global, NULL, identity, action, topic, &v);
    return v.allow && !v.deny;
}

/* ---- the comparisons ---- */

struct sums {
    unsigned long decided, allowed, wrong, whole, part, granted, unjust, too_much, generous, within, order;
};

static struct sp_subject
somebody(unsigned person, bool application)
{
    struct sp_subject who = conf_subject(people[person]);

    who.application = application ? SP_STR("app") : (struct sp_str){NULL, 0};
    return who;
}

static void
compare_decisions(const struct world *w, struct sp_snapshot *s, struct sp_snapshot *other, const char *text,
                  struct sums *n)
{
    for (unsigned i = 0; i < 300; i++) {
        unsigned           person = pick(7);
        bool               application = pick(3) == 0;
        enum sp_action     action = pick(2) ? SP_PUBLISH : SP_SUBSCRIBE;
        struct sp_subject  who = somebody(person, application);
        struct sp_str      topic = topics[pick(ntopics)];
        struct sp_decision d, again;
        bool               want = expected(w, people[person], application, action == SP_PUBLISH ? 1 : 2, topic);

        sp_resolver()->decide(s, &who, action, topic, &d);
        n->decided++;
        n->allowed += d.allowed;
        if (d.allowed != want && n->wrong++ < 3) {
            printf("# %s %s %s: %d (%s, %.*s)\n%s\n", people[person], action == SP_PUBLISH ? "publish" : "subscribe",
                   topic.p, d.allowed, d.reason, SP_STR_ARG(d.where), text);
        }
        sp_resolver()->decide(other, &who, action, topic, &again);
        n->order += again.allowed != d.allowed || again.policy == NULL;
    }
}

static void
compare_grants(const struct world *w, struct sp_snapshot *s, const char *text, struct sums *n)
{
    for (unsigned i = 0; i < 12; i++) {
        unsigned           person = pick(7), allowed = 0, matched = 0;
        bool               application = pick(3) == 0;
        struct sp_subject  who = somebody(person, application);
        const char        *filter = PICK(filters);
        struct sp_decision d;
        enum sp_grant      g = sp_resolver()->grant(s, &who, sp_str_c(filter), &d);

        for (unsigned t = 0; t < ntopics; t++) {
            if (sp_topic_matches(sp_str_c(filter), topics[t])) {
                matched++;
                allowed += expected(w, people[person], application, 2, topics[t]);
            }
        }
        n->granted++;
        n->whole += g == SP_GRANT_WHOLE;
        n->part += g == SP_GRANT_OVERLAP;
        n->within += w->within && g == SP_GRANT_OVERLAP;
        n->unjust += g == SP_GRANT_NONE && (w->within ? 0 : allowed > 0);
        n->too_much += g == SP_GRANT_WHOLE && allowed < matched;
        n->generous += g != SP_GRANT_NONE && allowed == 0;
        if (((g == SP_GRANT_NONE && !w->within && allowed > 0) || (g == SP_GRANT_WHOLE && allowed < matched)) &&
            n->unjust + n->too_much < 3) {
            printf("# %s subscribes %s: %d, but %u of %u allowed (application: %d)\n%s\n", people[person], filter,
                   (int)g, allowed, matched, application, text);
        }
    }
}

int
main(int argc, char **argv)
{
    char        text[100];
    struct sums n = {0};
    unsigned    rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 1500;

    srand(argc > 2 ? (unsigned)atoi(argv[2]) : 7);
    topics = calloc(1000, sizeof(*topics));
    make_topics(text, 0, 0);
    conf_start();
    for (unsigned i = 0; i < rounds; i++) {
        struct world        w;
        struct sp_snapshot *s, *other;
        char               *plain, *mixed;

        make_world(&w);
        plain = world_text(&w, false);
        mixed = world_text(&w, true);
        s = conf_load(plain);
        other = conf_load(mixed);
        if (s == NULL || other == NULL) {
            printf("# refused:\n%s\n", plain);
            n.wrong++;
        } else {
            compare_decisions(&w, s, other, plain, &n);
            compare_grants(&w, s, plain, &n);
        }
        sp_snapshot_unref(s);
        sp_snapshot_unref(other);
        free(plain);
        free(mixed);
    }
    is_int(n.wrong, 0, "decisions are those of a plain reading (%lu)", n.decided);
    is_int(n.order, 0, "the order of statements does not matter");
    is_int(n.unjust, 0, "no filter is refused that can match something allowed (%lu filters)", n.granted);
    is_int(n.too_much, 0, "what is granted as a whole is allowed as a whole");
    is_int(n.within, 0, "within grants all of a filter or nothing");
    printf("# %lu decisions allowed, %lu filters granted in part, %lu as a whole\n", n.allowed, n.part, n.whole);
    ok(n.allowed > n.decided / 50 && n.part > 100 && n.whole > 100, "and the worlds were not empty");
    printf("# granted though nothing in this small world is allowed: %lu of %lu\n", n.generous, n.granted);
    ok(n.generous * 50 < n.granted, "and it is seldom granted where nothing is allowed");
    for (unsigned t = 0; t < ntopics; t++) {
        free((char *)(uintptr_t)topics[t].p);
    }
    free(topics);
    conf_end();
    return done_testing();
}
