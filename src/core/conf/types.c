#include <errno.h>
#include <stdio.h>

#include "conf/build.h"
#include "conf/path.h"
#include "conf/text.h"

#define NUMBER_MAX INT32_MAX

const char *
sp_level_name(enum sp_level level)
{
    static const char *const names[SP_LEVELS] = {"default", "global", "realm", "topic", "application"};

    return (unsigned)level < SP_LEVELS ? names[level] : "?";
}

/* `"64q" is not a size`, with what the type expects behind the caret. */
static int
refuse(struct sp_build *b, const struct sp_conf_node *node, const struct sp_type *type)
{
    char hint[256], shown[128];

    (void)snprintf(hint, sizeof(hint), "expected %s", type->expects);
    return sp_build_error(b, node, 1, hint, "%s is no %s", sp_word_quote(shown, sizeof(shown), node->args[1].text),
                          type->name);
}

static bool
is_off(const struct sp_conf_node *node)
{
    return sp_str_is(node->args[1].text, "off");
}

static int
order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int
compare_num(const struct sp_value *a, const struct sp_value *b)
{
    return order(a->u.num, b->u.num);
}

/* `off` is no limit: the loosest. */
static int
compare_off(const struct sp_value *a, const struct sp_value *b)
{
    return order(a->u.num == SP_OFF ? INT64_MAX : a->u.num, b->u.num == SP_OFF ? INT64_MAX : b->u.num);
}

static int
parse_flag(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    const char *const choices[] = {"off", "on", NULL};
    struct sp_str     s = node->args[1].text;
    const char       *near;
    char              hint[96], shown[128];

    if (sp_str_is(s, "on") || sp_str_is(s, "off")) {
        v->u.num = sp_str_is(s, "on");
        return 0;
    }
    near = sp_suggest(s, choices);
    (void)snprintf(hint, sizeof(hint), near == NULL ? "expected on or off" : "expected on or off; did you mean \"%s\"?",
                   near);
    return sp_build_error(b, node, 1, hint, "%s is neither on nor off", sp_word_quote(shown, sizeof(shown), s));
}

static int
parse_size(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    return sp_parse_size_text(node->args[1].text, &v->u.num) < 0 ? refuse(b, node, &sp_type_size) : 0;
}

static int
parse_size_off(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    if (is_off(node)) {
        v->u.num = SP_OFF;
        return 0;
    }
    return sp_parse_size_text(node->args[1].text, &v->u.num) < 0 ? refuse(b, node, &sp_type_size_off) : 0;
}

static int
parse_time(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    return sp_parse_time_text(node->args[1].text, &v->u.num) < 0 ? refuse(b, node, &sp_type_time) : 0;
}

static int
parse_time_off(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    if (is_off(node)) {
        v->u.num = SP_OFF;
        return 0;
    }
    return sp_parse_time_text(node->args[1].text, &v->u.num) < 0 ? refuse(b, node, &sp_type_time_off) : 0;
}

static int
parse_number(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    uint64_t n;

    if (sp_str_u64(node->args[1].text, NUMBER_MAX, &n) < 0) {
        return refuse(b, node, &sp_type_number);
    }
    v->u.num = (int64_t)n;
    return 0;
}

static int
parse_number_off(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    uint64_t n;

    if (is_off(node)) {
        v->u.num = SP_OFF;
        return 0;
    }
    if (sp_str_u64(node->args[1].text, NUMBER_MAX, &n) < 0) {
        return refuse(b, node, &sp_type_number_off);
    }
    v->u.num = (int64_t)n;
    return 0;
}

static int
parse_string(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    (void)b;
    v->u.str = node->args[1].text;
    return 0;
}

static int
parse_path(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_str s = node->args[1].text;

    if (s.n == 0 || memchr(s.p, '\0', s.n) != NULL) {
        return sp_build_error(b, node, 1, "expected a path", "empty path");
    }
    v->u.str = sp_path_full(b->arena, b->prefix, s);
    return 0;
}

int
sp_parse_choice(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    const struct sp_type *type = v->directive->type;
    const char *const    *choices = type->arg;
    struct sp_str         s = node->args[1].text;
    const char           *near;
    char                  hint[300], shown[128], name[64];

    for (int64_t i = 0; choices[i] != NULL; i++) {
        if (sp_str_is(s, choices[i])) {
            v->u.num = i;
            return 0;
        }
    }
    near = sp_suggest(s, choices);
    (void)snprintf(hint, sizeof(hint), "expected %s%s%s%s", type->expects, near == NULL ? "" : "; did you mean \"",
                   near == NULL ? "" : near, near == NULL ? "" : "\"?");
    return sp_build_error(b, node, 1, hint, "%s is no value for %s", sp_word_quote(shown, sizeof(shown), s),
                          sp_str_escape(name, sizeof(name), node->args[0].text));
}

int
sp_compare_choice(const struct sp_value *a, const struct sp_value *b)
{
    return compare_num(a, b);
}

#define SIZES   "a size such as 512, 64k or 1m"
#define TIMES   "a time such as 200ms, 5s, 1m, 1h or 30d"
#define NUMBERS "a number from 0 to 2147483647"

const struct sp_type sp_type_block = {"block", "a block in braces", NULL, NULL, NULL};
const struct sp_type sp_type_flag = {"flag", "on or off", parse_flag, compare_num, NULL};
const struct sp_type sp_type_size = {"size", SIZES, parse_size, compare_num, NULL};
const struct sp_type sp_type_size_off = {"size", SIZES ", or off", parse_size_off, compare_off, NULL};
const struct sp_type sp_type_time = {"time", TIMES, parse_time, compare_num, NULL};
const struct sp_type sp_type_time_off = {"time", TIMES ", or off", parse_time_off, compare_off, NULL};
const struct sp_type sp_type_number = {"number", NUMBERS, parse_number, compare_num, NULL};
const struct sp_type sp_type_number_off = {"number", NUMBERS ", or off", parse_number_off, compare_off, NULL};
const struct sp_type sp_type_string = {"string", "a string", parse_string, NULL, NULL};
const struct sp_type sp_type_path = {"path", "a path", parse_path, NULL, NULL};
