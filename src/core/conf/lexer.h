/*
 * Tokens of the configuration language: bare words, "…" and '…' (escapes \\ \" \' \n \t; a backslash before anything else
 * stays, so regular expressions need no doubling), `;` `{` `}`, `#` comments up to the end of the line where a word could
 * start. Text is UTF-8; control bytes are errors. Any byte sequence is fit input: what is wrong is reported and passed over.
 */
#ifndef SP_CONF_LEXER_H
#define SP_CONF_LEXER_H

#include "conf/diag.h"

enum sp_token_kind { SP_TOKEN_WORD, SP_TOKEN_SEMICOLON, SP_TOKEN_OPEN, SP_TOKEN_CLOSE, SP_TOKEN_END };

struct sp_token {
    enum sp_token_kind kind;
    struct sp_str      text; /* of a word, quotes and escapes resolved; in the file's text or the arena */
    struct sp_pos      pos;
    bool               quoted;
    bool               bad;   /* an error in it was reported */
    bool               first; /* nothing but blanks in front of it on its line */
    struct sp_pos      hash;  /* a comment that began with "#;" since the last token: file NULL if there was none */
};

struct sp_lexer {
    const struct sp_conf_file *file;
    struct sp_arena           *arena;
    struct sp_diag            *diag;
    size_t                     at;         /* next byte */
    size_t                     line_start; /* where the current line begins */
    uint32_t                   line;
    unsigned                   errors; /* reported so far; after SP_DIAG_MAX the rest of the file is passed over */
    unsigned bad_bytes; /* of them for bytes that are no text: more than a few, and it is no configuration */
};

void sp_lexer_init(struct sp_lexer *l, const struct sp_conf_file *file, struct sp_arena *arena, struct sp_diag *diag);
void sp_lexer_next(struct sp_lexer *l, struct sp_token *out);

#endif
