#include "conf/rate.h"

#include <errno.h>
#include <stdio.h>

#include "conf/build.h"
#include "conf/text.h"

#define COUNT_MAX UINT64_C(1000000000)
#define EXPECTED  "a rate such as 500/s, 600/m or 100/h, then burst=N and over=delay|drop|disconnect; or off"

/* "500/s" */
static int
parse_per(struct sp_str s, double *per_s)
{
    struct sp_str count = sp_str_cut(&s, '/');
    uint64_t      n;
    double        seconds;

    if (sp_str_u64(count, COUNT_MAX, &n) < 0 || n == 0 || s.p == NULL) {
        return -EINVAL;
    }
    if (sp_str_is(s, "s")) {
        seconds = 1;
    } else if (sp_str_is(s, "m")) {
        seconds = 60;
    } else if (sp_str_is(s, "h")) {
        seconds = 3600;
    } else {
        return -EINVAL;
    }
    *per_s = (double)n / seconds;
    return 0;
}

static int
parse_over(struct sp_build *b, const struct sp_conf_node *node, unsigned i, struct sp_str s, enum sp_rate_over *over)
{
    static const char *const names[] = {"delay", "drop", "disconnect", NULL};
    char                     shown[128];

    for (int k = 0; names[k] != NULL; k++) {
        if (sp_str_is(s, names[k])) {
            *over = (enum sp_rate_over)k;
            return 0;
        }
    }
    return sp_build_error(b, node, i, "expected over=delay, over=drop or over=disconnect", "unknown %s",
                          sp_word_quote(shown, sizeof(shown), node->args[i].text));
}

static int
parse_option(struct sp_build *b, const struct sp_conf_node *node, unsigned i, struct sp_rate *r, bool seen[2])
{
    struct sp_str value = node->args[i].text, key = sp_str_cut(&value, '=');
    bool          burst = sp_str_is(key, "burst"), over = sp_str_is(key, "over");
    char          shown[128];

    if (value.p == NULL || (!burst && !over)) {
        return sp_build_error(b, node, i, "expected burst=N or over=delay|drop|disconnect",
                              "unknown option %s of a rate", sp_word_quote(shown, sizeof(shown), node->args[i].text));
    }
    if (seen[over]) {
        return sp_build_error(b, node, i, NULL, "%s is given twice", burst ? "burst" : "over");
    }
    seen[over] = true;
    if (over) {
        return parse_over(b, node, i, value, &r->over);
    }
    if (sp_str_u64(value, COUNT_MAX, &r->burst) < 0 || r->burst == 0) {
        return sp_build_error(b, node, i, "expected burst= and a number from 1 to 1000000000", "%s is no burst",
                              sp_word_quote(shown, sizeof(shown), node->args[i].text));
    }
    return 0;
}

static int
parse_rate(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_rate *r = sp_arena_alloc(b->arena, sizeof(*r));
    bool            seen[2] = {false, false};
    int             err = 0;
    char            shown[128];

    v->u.ptr = r;
    if (sp_str_is(node->args[1].text, "off")) {
        r->off = true;
        return node->nargs == 2 ? 0 : sp_build_error(b, node, 2, "expected \";\"", "a rate that is off has no options");
    }
    if (parse_per(node->args[1].text, &r->per_s) < 0) {
        return sp_build_error(b, node, 1, "expected " EXPECTED, "%s is no rate",
                              sp_word_quote(shown, sizeof(shown), node->args[1].text));
    }
    for (unsigned i = 2; i < node->nargs; i++) {
        if (parse_option(b, node, i, r, seen) < 0) {
            err = -EINVAL;
        }
    }
    if (!seen[0]) {
        r->burst = (uint64_t)r->per_s + (r->per_s > (double)(uint64_t)r->per_s ? 1 : 0);
    }
    return err;
}

static int
compare_rate(const struct sp_value *a, const struct sp_value *b)
{
    const struct sp_rate *x = sp_value_rate(a), *y = sp_value_rate(b);

    if (x->off || y->off) {
        return (int)x->off - (int)y->off;
    }
    if (x->per_s < y->per_s || x->per_s > y->per_s) {
        return x->per_s < y->per_s ? -1 : 1;
    }
    return (x->burst > y->burst) - (x->burst < y->burst);
}

const struct sp_type sp_type_rate = {"rate", EXPECTED, parse_rate, compare_rate, NULL};
