/* Words and places of statements, for messages and dumps. */
#ifndef SP_CONF_PROVENANCE_H
#define SP_CONF_PROVENANCE_H

#include "conf/policy.h"
#include "conf/text.h"

/* The arguments of a statement as the language writes them: `500/s burst=1000`. */
void sp_text_args(struct sp_text *t, const struct sp_conf_node *node);
/* The value as the language writes it: the statement's arguments, or the directive's built-in default. */
void sp_text_value(struct sp_text *t, const struct sp_value *v);
/* The same into a buffer, cut with "..." when it does not fit. Returns dst. */
const char *sp_value_words(char *dst, size_t cap, const struct sp_value *v);
/* Do both say the same, word by word? */
bool sp_value_same(const struct sp_value *a, const struct sp_value *b);

#endif
