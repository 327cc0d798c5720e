/*
 * Whom rules speak of: names, groups, `*` (whoever has a verified identity), `anonymous`, regular expressions. Each distinct one
 * is a principal with a number. What an identity is by its name alone is found by hash; whether it matches a regular expression is
 * asked only where a rule makes a difference ("lazy" principals: expressions, and groups with an expression among the members).
 */
#ifndef SP_POLICY_RESOLVER_SUBJECT_H
#define SP_POLICY_RESOLVER_SUBJECT_H

#include "base/hash.h"
#include "conf/build.h"

enum sp_principal_kind {
    SP_PRINCIPAL_NAME,
    SP_PRINCIPAL_GROUP,
    SP_PRINCIPAL_REGEX,
    SP_PRINCIPAL_ANY,
    SP_PRINCIPAL_ANONYMOUS
};

struct sp_subjects;

/* Lives in the build's arena; reads the `group` statements of main. 0 or -EINVAL with diagnostics. */
int sp_subjects_build(struct sp_build *b, struct sp_subjects **out);
/* The number of a principal, made if it is new. `text`: name of the person or group, the expression without its `~`. Errors
 * (no such group, malformed expression) are reported at argument 1 of the node: -EINVAL. */
int sp_subjects_number(struct sp_subjects *s, struct sp_build *b, const struct sp_conf_node *node,
                       enum sp_principal_kind kind, struct sp_str text, uint32_t *number);

/* Must a principal be asked for with sp_persona_is? */
bool sp_subjects_lazy(const struct sp_subjects *s, uint32_t principal);

/* Who asks. */
struct sp_principal;
struct sp_persona {
    struct sp_subjects        *subjects;
    struct sp_str              identity;
    bool                       anonymous;
    const struct sp_principal *named; /* that a rule or group knows by name, or NULL */
};
void sp_subjects_persona(struct sp_subjects *s, struct sp_str identity, bool anonymous, struct sp_persona *out);
/* Neither a name nor known to be anonymous: nobody. */
bool sp_persona_nobody(const struct sp_persona *p);

/* What it is by name: one number at a time, *position = NULL at first; false after the last. */
bool sp_persona_next(const struct sp_persona *p, const void **position, uint32_t *number);

/* UNSURE: a regular expression hit its limits: denials hold, permissions do not. */
enum sp_membership { SP_MEMBER_NOT, SP_MEMBER_UNSURE, SP_MEMBER };
enum sp_membership sp_persona_is(const struct sp_persona *p, uint32_t principal);

#endif
