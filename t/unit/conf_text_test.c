#include <stdlib.h>

#include "conf/text.h"
#include "tap.h"

static const char *
word(struct sp_str w)
{
    static struct sp_text t;

    sp_text_reset(&t);
    sp_text_word(&t, w);
    return sp_text_str(&t).p;
}

int
main(void)
{
    struct sp_text t = {0};
    char           small[20], *taken;

    is_str(sp_text_str(&t).p, "", "empty");
    for (int i = 0; i < 200; i++) {
        sp_text_printf(&t, "%d,", i);
    }
    is_int(sp_text_str(&t).n, 690, "it grows");
    taken = sp_text_take(&t);
    is_int(strlen(taken), 690, "handed over");
    free(taken);
    is_int(t.n, 0, "empty again");
    sp_text_free(&t);

    is_str(word(SP_STR("lob/#")), "lob/#", "bare");
    is_str(word(SP_STR("")), "\"\"", "empty");
    is_str(word(SP_STR("#")), "\"#\"", "what would be a comment");
    is_str(word(SP_STR("floor")), "\"floor\"", "what would be a modifier");
    is_str(word(SP_STR("a b;\"c\"\\d\n\t")), "\"a b;\\\"c\\\"\\\\d\\n\\t\"", "escaped");
    is_str(sp_word_quote(small, sizeof(small), SP_STR("a\x01\xc3\xa9")), "\"a\\x01\\xc3\\xa9...", "for messages, cut");
    is_str(sp_word_quote(small, sizeof(small), SP_STR("short")), "\"short\"", "for messages");
    return done_testing();
}
