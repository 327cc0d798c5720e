#include "modules/policy_resolver/directives.h"

#include <errno.h>
#include <stdio.h>

#include "base/topic.h"
#include "conf/build.h"
#include "conf/text.h"
#include "modules/policy_resolver/scope.h"

#define FILTER_HINT "expected levels separated by /, where + stands for one level and # for the rest"

static int
bad_filter(struct sp_build *b, const struct sp_conf_node *node, unsigned i, const char *hint)
{
    char shown[200];

    return sp_build_error(b, node, i, hint, "%s is no topic filter",
                          sp_word_quote(shown, sizeof(shown), node->args[i].text));
}

/* Who: NAME, @GROUP, ~REGEX, *, anonymous, %N. */
static int
parse_subject(struct sp_build *b, const struct sp_conf_node *node, struct sp_rule_said *r)
{
    struct sp_str s = node->args[SP_RULE_SUBJECT_ARG].text;

    r->kind = SP_PRINCIPAL_NAME;
    r->subject = s;
    if (s.n == 0) {
        return sp_build_error(b, node, SP_RULE_SUBJECT_ARG, "expected a name, @GROUP, ~REGEX, * or anonymous",
                              "empty name");
    }
    if (sp_str_is(s, "*") || sp_str_is(s, "anonymous")) {
        r->kind = s.p[0] == '*' ? SP_PRINCIPAL_ANY : SP_PRINCIPAL_ANONYMOUS;
        r->subject.n = 0;
    } else if (s.p[0] == '@' || s.p[0] == '~') {
        r->kind = s.p[0] == '@' ? SP_PRINCIPAL_GROUP : SP_PRINCIPAL_REGEX;
        r->subject = (struct sp_str){s.p + 1, s.n - 1};
    } else if (s.p[0] == '%') {
        if (s.n != 2 || s.p[1] < '1' || s.p[1] > '9') {
            return sp_build_error(b, node, SP_RULE_SUBJECT_ARG,
                                  "expected %1 to %9, or ~REGEX for a name that begins with %",
                                  "%% must be followed by a number from 1 to 9");
        }
        r->kind = SP_PRINCIPAL_ANY;
        r->subject.n = 0;
        r->subject_capture = (uint8_t)(s.p[1] - '0');
    }
    return 0;
}

static int
parse_action(struct sp_build *b, const struct sp_conf_node *node, struct sp_rule_said *r)
{
    static const char *const words[] = {"publish", "subscribe", "any", NULL};
    static const uint8_t masks[] = {SP_ACTION_PUBLISH, SP_ACTION_SUBSCRIBE, SP_ACTION_PUBLISH | SP_ACTION_SUBSCRIBE};
    struct sp_str        s = node->args[SP_RULE_ACTION_ARG].text;
    const char          *near;
    char                 hint[120], shown[80];

    for (unsigned i = 0; words[i] != NULL; i++) {
        if (sp_str_is(s, words[i])) {
            r->actions = masks[i];
            return 0;
        }
    }
    near = sp_suggest(s, words);
    (void)snprintf(hint, sizeof(hint), "expected publish, subscribe or any%s%s%s",
                   near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
    return sp_build_error(b, node, SP_RULE_ACTION_ARG, hint, "unknown action %s",
                          sp_word_quote(shown, sizeof(shown), s));
}

/* How many wildcards the filters have that a rule in this block stands below: topic block, else the realm's. */
static int
wildcards_around(const struct sp_conf_node *block)
{
    int most = 0;

    if (block == NULL || block->nargs == 0 || sp_str_is(block->args[0].text, "policy")) {
        return 0;
    }
    if (sp_str_is(block->args[0].text, "topic")) {
        return block->nargs > 1 ? sp_filter_wildcards(block->args[1].text) : 0;
    }
    if (sp_str_is(block->args[0].text, "application")) {
        return wildcards_around(block->parent);
    }
    for (const struct sp_conf_node *n = block->children; n != NULL; n = n->next) {
        for (unsigned i = 1; i < n->nargs && sp_str_is(n->args[0].text, "topics"); i++) {
            int count = sp_filter_wildcards(n->args[i].text);
            most = count > most ? count : most;
        }
    }
    return most;
}

static int
check_captures(struct sp_build *b, const struct sp_conf_node *node, unsigned i, uint8_t highest)
{
    int have = highest > 0 ? wildcards_around(node->parent) : 0;

    if (highest <= have) {
        return 0;
    }
    return sp_build_error(
        b, node, i, "%1 is what the first + or # of the enclosing topic block, else of the realm's topics, matched",
        have == 0 ? "%%%u: the filter around this rule has no wildcard"
                  : "%%%u: the filter around this rule has fewer wildcards",
        highest);
}

static int
parse_rule(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_rule_said *r = sp_arena_alloc(b->arena, sizeof(*r));
    struct sp_template  *filters;
    int                  err = parse_subject(b, node, r);

    v->u.ptr = r;
    if (parse_action(b, node, r) < 0 || check_captures(b, node, SP_RULE_SUBJECT_ARG, r->subject_capture) < 0) {
        err = -EINVAL;
    }
    r->nfilters = node->nargs - SP_RULE_FILTER_ARG;
    r->filters = filters = sp_arena_array(b->arena, r->nfilters, sizeof(*filters));
    for (unsigned f = 0; f < r->nfilters; f++) {
        unsigned    i = f + SP_RULE_FILTER_ARG;
        const char *why;
        size_t      at;

        if (sp_template_parse(b->arena, SP_DIALECT_RULE, node->args[i].text, &filters[f], &at, &why) < 0) {
            err = bad_filter(b, node, i, why[0] == '%' ? why : FILTER_HINT);
        } else if (check_captures(b, node, i, filters[f].max_capture) < 0) {
            err = -EINVAL;
        }
    }
    return err;
}

static int
parse_topics(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    int err = 0;

    v->u.ptr = node;
    for (unsigned i = 1; i < node->nargs; i++) {
        if (!sp_topic_filter_valid(node->args[i].text, SP_FILTER_LEVELS_MAX)) {
            err = bad_filter(b, node, i, FILTER_HINT);
        }
    }
    return err;
}

static int
parse_group(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    v->u.ptr = node; /* its members: subject.c */
    return node->args[1].text.n > 0 ? 0 : sp_build_error(b, node, 1, "expected a name for the group", "empty name");
}

static const char *const unknown_choices[] = {"deny", "global", NULL};
static const char *const subscription_choices[] = {"within", "overlap", NULL};

static const struct sp_type type_rule = {"rule", "a name, publish, subscribe or any, and topic filters", parse_rule,
                                         NULL, NULL};
static const struct sp_type type_topics = {"filters", "topic filters", parse_topics, NULL, NULL};
static const struct sp_type type_group = {"group", "a name and its members", parse_group, NULL, NULL};
static const struct sp_type type_unknown = {"unknown_realm", "deny or global", sp_parse_choice, sp_compare_choice,
                                            unknown_choices};
static const struct sp_type type_subscription = {"subscription", "within or overlap", sp_parse_choice,
                                                 sp_compare_choice, subscription_choices};

#define RULE_SYNTAX "NAME | @GROUP | ~REGEX | * | anonymous | %N  publish | subscribe | any  FILTER ..."

const struct sp_directive sp_policy_resolver_directives[SP_POLICY_RESOLVER_NDIRECTIVES] = {
    {"topics", &type_topics, "realm", 1, 255, true, SP_LOCAL, SP_LIVE, NULL, "FILTER ...",
     "The topics that the realm owns. A topic belongs to the realm with the most specific filter that matches it; no "
     "two realms may "
     "have the same filter."},
    {"allow", &type_rule, SP_POLICY_LEVELS, 3, 255, true, SP_EXTEND, SP_LIVE, NULL, RULE_SYNTAX,
     "Who may publish to, or receive from, the topics that match a filter and belong to the block. What no `allow` "
     "matches is "
     "denied. `*` is whoever has a verified identity, @GROUP whom a `group` statement names, ~REGEX a regular "
     "expression (PCRE2) for the "
     "name. In a filter %i is the name itself, unless it holds a slash, + or #; %1 to %9 are what the wildcards of the "
     "filter around the rule matched (of the topic block, else of the realm's `topics`); %% is a percent sign. A %1 in "
     "the place of the "
     "name means: whoever is called what that wildcard matched."},
    {"deny", &type_rule, SP_POLICY_LEVELS, 3, 255, true, SP_EXTEND, SP_LIVE, NULL, RULE_SYNTAX,
     "As `allow`, but forbids: any `deny` that matches wins over every `allow`, at whatever level either stands."},
    {"group", &type_group, "main", 2, 255, true, SP_LOCAL, SP_LIVE, NULL, "NAME MEMBER ...",
     "Names a set of identities, for @NAME in `allow` and `deny`. A member is a name or a regular expression ~REGEX; "
     "several statements "
     "add up."},
    {"subscription", &type_subscription, SP_POLICY_LEVELS, 1, 1, false, SP_REPLACE, SP_LIVE, "overlap",
     "overlap | within",
     "Which filters may be subscribed. overlap: those that can match something allowed (every delivery is judged "
     "anew). within: those of "
     "which all that they can match is allowed."},
    {"unknown_realm", &type_unknown, "policy", 1, 1, false, SP_LOCAL, SP_LIVE, "deny", "deny | global",
     "What happens to topics that no realm claims: they are denied, or judged by the rules and values of the global "
     "policy. Topics that "
     "begin with $ and belong to no realm are always judged by the global policy."},
    {"acl_file", &sp_type_path, "mqtt policy", 1, 1, false, SP_LOCAL, SP_LIVE, NULL, "PATH",
     "A file in the format of Mosquitto's acl_file. Its rules count beside `allow` and `deny` for the topics of every "
     "realm; what it "
     "denies is denied. With no realm and `unknown_realm global` the outcome is that of Mosquitto 2."},
};
