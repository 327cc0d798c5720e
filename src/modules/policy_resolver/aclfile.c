#include "modules/policy_resolver/aclfile.h"

#include <errno.h>
#include <stdlib.h>

#include "conf/diag.h"
#include "conf/text.h"

struct pending { /* a rule, until all of the file is known */
    struct pending        *next;
    struct sp_acl_user    *user;
    struct sp_filter_entry entry;
};

struct parser {
    struct sp_arena           *arena;
    struct sp_diag            *diag;
    const struct sp_conf_file *file;
    struct sp_aclfile         *acl;
    struct sp_acl_user        *user;
    struct pending            *topics, *patterns; /* newest first */
    struct sp_str              line;              /* without white space at its end */
    uint32_t                   number;
    unsigned                   errors;
};

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct sp_str
trim(struct sp_str s)
{
    while (s.n > 0 && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    return s;
}

/* The next word; only blanks part words, as in Mosquitto. */
static struct sp_str
next_word(struct sp_str *rest)
{
    struct sp_str word = *rest;

    while (word.n > 0 && word.p[0] == ' ') {
        word.p++;
        word.n--;
    }
    *rest = word;
    if (memchr(word.n > 0 ? word.p : "", ' ', word.n) == NULL) {
        *rest = (struct sp_str){word.p + word.n, 0};
        return word;
    }
    return sp_str_cut(rest, ' ');
}

static struct sp_pos
place(const struct parser *p, struct sp_str what)
{
    struct sp_pos pos = {p->file, p->number, 1, 1};

    if (what.p != NULL) {
        pos.col = (uint32_t)(what.p - p->line.p) + 1;
        pos.width = what.n > 0 ? (uint32_t)what.n : 1;
    }
    return pos;
}

static void
fault(struct parser *p, struct sp_str what, const char *hint, const char *message)
{
    char shown[80];

    p->errors++;
    sp_diag_add(p->diag, SP_ERROR, place(p, what), hint, message, sp_str_escape(shown, sizeof(shown), what));
}

static void
add_rule(struct parser *p, bool pattern, uint8_t access, struct sp_template *filter)
{
    struct pending     *rule = sp_arena_alloc(p->arena, sizeof(*rule));
    struct sp_acl_line *line = sp_arena_alloc(p->arena, sizeof(*line));
    struct pending    **list = pattern ? &p->patterns : &p->topics;

    line->where = sp_str_c(sp_arena_printf(p->arena, "%.*s:%u", SP_STR_ARG(p->file->path), p->number));
    line->text = trim(p->line);
    rule->user = p->user;
    rule->entry = (struct sp_filter_entry){
        .filter = filter, .rule = line, .order = p->acl->count++, .actions = access, .deny = access == 0};
    rule->next = *list;
    *list = rule;
}

static void
warn_constant(struct parser *p, const struct sp_template *t)
{
    if (!t->identity && !t->client) {
        sp_diag_add(p->diag, SP_WARNING, place(p, t->text),
                    "a topic line says this for one client; %u or %c make it a pattern",
                    "the pattern refers to neither %%u nor %%c: it holds for everyone");
    }
}

/* `topic [ACCESS] FILTER`: the access may be left out, the filter may hold blanks. */
static void
parse_rule(struct parser *p, struct sp_str rest, bool pattern)
{
    static const struct {
        const char *name;
        uint8_t     access;
    } kinds[] = {{"read", SP_ACTION_SUBSCRIBE},
                 {"write", SP_ACTION_PUBLISH},
                 {"readwrite", SP_ACTION_SUBSCRIBE | SP_ACTION_PUBLISH},
                 {"deny", 0}};
    struct sp_str       word = next_word(&rest), text = trim(rest);
    struct sp_template *filter = sp_arena_alloc(p->arena, sizeof(*filter));
    uint8_t             access = SP_ACTION_SUBSCRIBE | SP_ACTION_PUBLISH;
    const char         *why;
    size_t              at, i;

    if (word.n == 0) {
        fault(p, (struct sp_str){p->line.p + p->line.n, 0},
              "expected read, write, readwrite or deny, and a topic filter", "the topic is missing%s");
        return;
    }
    if (text.n == 0) {
        text = word;
    } else {
        for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !sp_str_is(word, kinds[i].name); i++) {
        }
        if (i == sizeof(kinds) / sizeof(kinds[0])) {
            fault(p, word, "expected read, write, readwrite or deny", "unknown access \"%s\"");
            return;
        }
        access = kinds[i].access;
    }
    if (sp_template_parse(p->arena, SP_DIALECT_ACLFILE, text, filter, &at, &why) < 0) {
        fault(p, text, "expected levels separated by /, where + stands for one level and # for the rest",
              "\"%s\" is no topic filter");
        return;
    }
    if (!pattern) { /* %u and %c are plain text in a topic line */
        *filter = (struct sp_template){.text = text, .plain = text};
    } else {
        warn_constant(p, filter);
    }
    add_rule(p, pattern, access, filter);
}

static void
parse_user(struct parser *p, struct sp_str rest)
{
    struct sp_str name = trim(rest);

    if (name.n == 0) {
        fault(p, (struct sp_str){p->line.p + p->line.n, 0}, "expected a name", "the user's name is missing%s");
        return;
    }
    p->user = sp_map_get(&p->acl->users, name);
    if (p->user != NULL) {
        return;
    }
    p->user = sp_arena_alloc(p->arena, sizeof(*p->user));
    p->user->name = name;
    p->user->next = p->acl->all;
    p->acl->all = p->user;
    if (sp_map_put(&p->acl->users, name, p->user, NULL) < 0) {
        abort(); /* out of memory: as arenas do */
    }
}

static void
parse_line(struct parser *p)
{
    struct sp_str rest = p->line, word;

    if (p->line.n > 0 && memchr(p->line.p, '\0', p->line.n) != NULL) {
        fault(p, (struct sp_str){p->line.p, 0}, "expected text", "a NUL byte in the line%s");
        return;
    }
    if (p->line.n == 0 || p->line.p[0] == '#') {
        return;
    }
    word = next_word(&rest);
    if (sp_str_is(word, "topic") || sp_str_is(word, "pattern")) {
        parse_rule(p, rest, sp_str_is(word, "pattern"));
    } else if (sp_str_is(word, "user")) {
        parse_user(p, rest);
    } else if (word.n > 0) {
        fault(p, word, "expected user, topic, pattern or a comment", "invalid line, \"%s\" is no keyword");
    }
}

/* The patterns; `nameless`: without those that refer to a name. */
static void
collect_patterns(struct parser *p, bool nameless, struct sp_filter_set *out)
{
    struct sp_filter_entry *entries = sp_arena_array(p->arena, p->acl->count, sizeof(*entries));
    unsigned                n = 0;

    for (const struct pending *r = p->patterns; r != NULL; r = r->next) {
        if (!nameless || !r->entry.filter->identity) {
            entries[n++] = r->entry;
        }
    }
    sp_filter_set_build(p->arena, entries, n, false, out);
}

/* Rules of one user are counted first: a file may name thousands of users. */
static void
collect_users(struct parser *p)
{
    struct sp_acl_user *nobody = &p->acl->nobody;

    for (const struct pending *r = p->topics; r != NULL; r = r->next) {
        r->user->rules.count++;
    }
    for (const struct pending *r = p->topics; r != NULL; r = r->next) {
        struct sp_filter_set *set = &r->user->rules;
        if (set->entries == NULL) {
            set->entries = sp_arena_array(p->arena, set->count, sizeof(*set->entries));
        }
        set->entries[set->dynamic++] = r->entry; /* counts the filled ones until the set is built */
    }
    for (struct sp_acl_user *u = p->acl->all; u != NULL; u = u->next) {
        sp_filter_set_build(p->arena, u->rules.entries, u->rules.count, false, &u->rules);
    }
    sp_filter_set_build(p->arena, nobody->rules.entries, nobody->rules.count, false, &nobody->rules);
}

static void
clear_users(void *acl)
{
    sp_map_clear(&((struct sp_aclfile *)acl)->users);
}

int
sp_aclfile_parse(struct sp_arena *a, struct sp_diag *diag, const struct sp_conf_file *file, struct sp_aclfile **out)
{
    struct parser p = {.arena = a, .diag = diag, .file = file};
    struct sp_str rest = file->text;

    p.acl = sp_arena_alloc(a, sizeof(*p.acl));
    p.user = &p.acl->nobody;
    sp_arena_defer(a, clear_users, p.acl);
    while (rest.p != NULL && rest.n > 0) {
        p.line = sp_str_cut(&rest, '\n');
        p.number++;
        while (p.line.n > 0 && is_space(p.line.p[p.line.n - 1])) {
            p.line.n--;
        }
        parse_line(&p);
    }
    if (p.errors == 0 && p.acl->count == 0) {
        p.line = (struct sp_str){file->text.p, 0};
        p.number = 1;
        fault(&p, p.line, "to allow nothing, leave acl_file out: what nobody allows is denied",
              "no rule in this file%s");
    }
    if (p.errors > 0) {
        return -EINVAL;
    }
    collect_users(&p);
    collect_patterns(&p, false, &p.acl->patterns);
    collect_patterns(&p, true, &p.acl->nameless_patterns);
    *out = p.acl;
    return 0;
}

static bool
has_wildcard(struct sp_str s)
{
    return s.n > 0 && (memchr(s.p, '+', s.n) != NULL || memchr(s.p, '#', s.n) != NULL);
}

bool
sp_aclfile_dangerous(const struct sp_aclfile *acl, bool anonymous, struct sp_str identity, struct sp_str client)
{
    return acl->patterns.count > 0 && ((!anonymous && has_wildcard(identity)) || has_wildcard(client));
}

const struct sp_acl_user *
sp_aclfile_user(const struct sp_aclfile *acl, bool anonymous, struct sp_str identity)
{
    return anonymous ? &acl->nobody : sp_map_get(&acl->users, identity);
}

static enum sp_acl_verdict
judge(const struct sp_filter_set *set, struct sp_question *q, const struct sp_acl_line **line)
{
    struct sp_filter_hit hit = {NULL, NULL};

    sp_filter_set_ask(set, q, &hit);
    if (hit.deny != NULL) {
        *line = hit.deny->rule;
        return SP_ACL_DENY;
    }
    if (hit.allow != NULL) {
        *line = hit.allow->rule;
        return SP_ACL_ALLOW;
    }
    return SP_ACL_NONE;
}

enum sp_acl_verdict
sp_aclfile_ask(const struct sp_aclfile *acl, bool anonymous, struct sp_question *q, const struct sp_acl_line **line)
{
    const struct sp_acl_user *user = sp_aclfile_user(acl, anonymous, q->identity);
    enum sp_acl_verdict       verdict = SP_ACL_NONE;

    *line = NULL;
    if (user != NULL) {
        verdict = judge(&user->rules, q, line);
    }
    if (verdict != SP_ACL_NONE) {
        return verdict;
    }
    if (sp_aclfile_dangerous(acl, anonymous, q->identity, q->client)) {
        return SP_ACL_DENY;
    }
    return judge(anonymous ? &acl->nameless_patterns : &acl->patterns, q, line);
}
