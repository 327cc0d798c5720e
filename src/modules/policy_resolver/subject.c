#include "modules/policy_resolver/subject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "conf/snapshot.h"
#include "conf/text.h"

#define MATCH_LIMIT 20000u
#define DEPTH_LIMIT 1000u
#define HEAP_LIMIT  256u /* KiB */

struct membership {
    struct membership         *next;
    const struct sp_principal *group;
};

struct sp_principal {
    struct sp_principal   *next_regex;
    enum sp_principal_kind kind;
    struct sp_str          text;
    uint32_t               number;
    bool                   lazy;
    pcre2_code            *code;
    struct membership     *groups;  /* that it is a member of, by name */
    struct membership     *regexes; /* of a group: members (as `group`) that are regular expressions */
};

struct sp_subjects {
    struct sp_arena      *arena;
    struct sp_map         known[SP_PRINCIPAL_ANONYMOUS + 1]; /* by kind: text -> struct sp_principal */
    struct sp_principal **numbered;
    uint32_t              count, cap;
    struct sp_principal  *regexes, *any, *anonymous;
    pcre2_match_context  *limits;
    pcre2_match_data     *match;
};

static void
destroy(void *arg)
{
    struct sp_subjects *s = arg;

    for (struct sp_principal *p = s->regexes; p != NULL; p = p->next_regex) {
        pcre2_code_free(p->code);
    }
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    for (unsigned i = 0; i <= SP_PRINCIPAL_ANONYMOUS; i++) {
        sp_map_clear(&s->known[i]);
    }
    free(s->numbered);
}

static struct sp_principal *
find(const struct sp_subjects *s, enum sp_principal_kind kind, struct sp_str text)
{
    return sp_map_get(&s->known[kind], text);
}

static struct sp_principal *
make(struct sp_subjects *s, enum sp_principal_kind kind, struct sp_str text)
{
    struct sp_principal *p = find(s, kind, text);

    if (p != NULL) {
        return p;
    }
    p = sp_arena_alloc(s->arena, sizeof(*p));
    p->kind = kind;
    p->text = text;
    p->number = s->count++;
    p->lazy = kind == SP_PRINCIPAL_REGEX;
    if (s->count > s->cap) {
        s->cap = s->cap == 0 ? 64 : s->cap * 2;
        s->numbered = realloc(s->numbered, s->cap * sizeof(struct sp_principal *));
    }
    if (s->numbered == NULL || sp_map_put(&s->known[kind], text, p, NULL) < 0) {
        abort(); /* out of memory: as arenas do */
    }
    s->numbered[p->number] = p;
    return p;
}

/* `$` at the very end only, so that a name with a line feed behind it is another name. */
static int
compile(struct sp_subjects *s, struct sp_build *b, const struct sp_conf_node *node, unsigned i, struct sp_principal *p)
{
    PCRE2_SIZE  at;
    int         code;
    PCRE2_UCHAR message[200];

    if (p->code != NULL) {
        return 0;
    }
    if (p->text.n == 0) {
        return sp_build_error(b, node, i, "~ alone names nobody; * is whoever has an identity",
                              "empty regular expression");
    }
    p->code = pcre2_compile((PCRE2_SPTR)p->text.p, p->text.n,
                            PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (p->code == NULL) {
        (void)pcre2_get_error_message(code, message, sizeof(message));
        return sp_build_error(b, node, i, (const char *)message, "malformed regular expression, at byte %zu",
                              (size_t)at + 1);
    }
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it, it is interpreted */
    p->next_regex = s->regexes;
    s->regexes = p;
    return 0;
}

static void
join(struct sp_subjects *s, struct sp_principal *member, struct sp_principal *group)
{
    bool                by_name = member->kind == SP_PRINCIPAL_NAME;
    struct membership **list = by_name ? &member->groups : &group->regexes;
    struct membership  *m = sp_arena_alloc(s->arena, sizeof(*m));

    m->group = by_name ? group : member;
    m->next = *list;
    *list = m;
    group->lazy = group->lazy || !by_name;
}

static int
add_group(struct sp_subjects *s, struct sp_build *b, const struct sp_conf_node *node)
{
    struct sp_principal *group = make(s, SP_PRINCIPAL_GROUP, node->args[1].text);
    int                  err = 0;

    for (unsigned i = 2; i < node->nargs; i++) {
        struct sp_str        text = node->args[i].text;
        bool                 regex = text.n > 0 && text.p[0] == '~';
        struct sp_principal *member;

        if (text.n == 0 || sp_str_is(text, "*") || sp_str_is(text, "anonymous") || text.p[0] == '@') {
            err = sp_build_error(b, node, i, "expected a name, or a regular expression such as ~^drone-",
                                 "not a member of a group");
            continue;
        }
        if (regex) {
            text = (struct sp_str){text.p + 1, text.n - 1};
        }
        member = make(s, regex ? SP_PRINCIPAL_REGEX : SP_PRINCIPAL_NAME, text);
        if (regex && compile(s, b, node, i, member) < 0) {
            err = -EINVAL;
            continue;
        }
        join(s, member, group);
    }
    return err;
}

int
sp_subjects_build(struct sp_build *b, struct sp_subjects **out)
{
    struct sp_subjects *s = sp_arena_alloc(b->arena, sizeof(*s));
    int                 err = 0;

    s->arena = b->arena;
    sp_arena_defer(b->arena, destroy, s);
    s->limits = pcre2_match_context_create(NULL);
    s->match = pcre2_match_data_create(1, NULL);
    if (s->limits == NULL || s->match == NULL) {
        return sp_build_error(b, NULL, 0, NULL, "out of memory");
    }
    (void)pcre2_set_match_limit(s->limits, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(s->limits, DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(s->limits, HEAP_LIMIT);
    s->any = make(s, SP_PRINCIPAL_ANY, SP_STR(""));
    s->anonymous = make(s, SP_PRINCIPAL_ANONYMOUS, SP_STR(""));
    for (const struct sp_value *v = sp_block_value(b->snapshot, b->snapshot->main, "group"); v != NULL; v = v->next) {
        if (add_group(s, b, v->node) < 0) {
            err = -EINVAL;
        }
    }
    *out = s;
    return err;
}

static int
unknown_group(const struct sp_subjects *s, struct sp_build *b, const struct sp_conf_node *node, struct sp_str name)
{
    const struct sp_map *groups = &s->known[SP_PRINCIPAL_GROUP];
    const char         **names = sp_arena_array(b->arena, groups->count + 1, sizeof(*names));
    struct sp_map_entry *e;
    size_t               n = 0, pos = 0;
    const char          *near;
    char                 shown[100], hint[200];

    while ((e = sp_map_next(groups, &pos)) != NULL) {
        names[n++] = sp_arena_str(b->arena, e->key).p;
    }
    near = sp_suggest(name, names);
    (void)snprintf(hint, sizeof(hint), "expected a group that a `group` statement names%s%.80s%s",
                   near == NULL ? "" : "; did you mean \"@", near == NULL ? "" : near, near == NULL ? "" : "\"?");
    return sp_build_error(b, node, 1, hint, "no group is called %s", sp_word_quote(shown, sizeof(shown), name));
}

int
sp_subjects_number(struct sp_subjects *s, struct sp_build *b, const struct sp_conf_node *node,
                   enum sp_principal_kind kind, struct sp_str text, uint32_t *number)
{
    struct sp_principal *p;

    if (kind == SP_PRINCIPAL_GROUP && find(s, kind, text) == NULL) {
        return unknown_group(s, b, node, text);
    }
    p = make(s, kind, text);
    if (kind == SP_PRINCIPAL_REGEX && compile(s, b, node, 1, p) < 0) {
        return -EINVAL;
    }
    *number = p->number;
    return 0;
}

/* ---- personas ---- */

bool
sp_subjects_lazy(const struct sp_subjects *s, uint32_t principal)
{
    return s->numbered[principal]->lazy;
}

void
sp_subjects_persona(struct sp_subjects *s, struct sp_str identity, bool anonymous, struct sp_persona *out)
{
    *out = (struct sp_persona){s, identity, anonymous, anonymous ? NULL : find(s, SP_PRINCIPAL_NAME, identity)};
}

bool
sp_persona_nobody(const struct sp_persona *p)
{
    return !p->anonymous && p->identity.n == 0;
}

/* The position: the subjects themselves after `*` or `anonymous`, the name after the name, then the membership just told. */
bool
sp_persona_next(const struct sp_persona *p, const void **position, uint32_t *number)
{
    const struct membership *m;

    if (*position == NULL) {
        *position = p->subjects;
        *number = p->anonymous ? p->subjects->anonymous->number : p->subjects->any->number;
        return true;
    }
    if (p->named == NULL) {
        return false;
    }
    if (*position == p->subjects) {
        *position = p->named;
        *number = p->named->number;
        return true;
    }
    m = *position == p->named ? p->named->groups : ((const struct membership *)*position)->next;
    if (m == NULL) {
        return false;
    }
    *position = m;
    *number = m->group->number;
    return true;
}

static enum sp_membership
match(const struct sp_persona *p, const struct sp_principal *regex)
{
    struct sp_subjects *s = p->subjects;
    int rc = pcre2_match(regex->code, (PCRE2_SPTR)p->identity.p, p->identity.n, 0, 0, s->match, s->limits);

    return rc >= 0 ? SP_MEMBER : rc == PCRE2_ERROR_NOMATCH ? SP_MEMBER_NOT : SP_MEMBER_UNSURE;
}

enum sp_membership
sp_persona_is(const struct sp_persona *p, uint32_t principal)
{
    const struct sp_principal *q = p->subjects->numbered[principal];
    enum sp_membership         best = SP_MEMBER_NOT, m;
    const void                *position = NULL;
    uint32_t                   number;

    while (sp_persona_next(p, &position, &number)) {
        if (number == principal) {
            return SP_MEMBER;
        }
    }
    if (p->anonymous || !q->lazy) {
        return SP_MEMBER_NOT;
    }
    if (q->kind == SP_PRINCIPAL_REGEX) {
        return match(p, q);
    }
    for (const struct membership *r = q->regexes; r != NULL && best != SP_MEMBER; r = r->next) {
        m = match(p, r->group);
        best = m > best ? m : best;
    }
    return best;
}
