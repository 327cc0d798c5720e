#include "conf/diag.h"
#include "tap.h"

static const char *const words[] = {"publish", "subscribe", "on", "off", "max_payload", NULL};

int
main(void)
{
    is_str(sp_suggest(SP_STR("publsh"), words), "publish", "a letter is missing");
    is_str(sp_suggest(SP_STR("pulbish"), words), "publish", "two are swapped");
    is_str(sp_suggest(SP_STR("max_paylaod"), words), "max_payload", "in a long word");
    is_str(sp_suggest(SP_STR("onn"), words), "on", "one too many");
    is_str(sp_suggest(SP_STR("xyz"), words), NULL, "nothing near");
    is_str(sp_suggest(SP_STR("o"), words), NULL, "too short to guess");
    is_str(sp_suggest(SP_STR(""), words), NULL, "nothing");
    const char *const none[] = {NULL};
    is_str(sp_suggest(SP_STR("publish"), none), NULL, "no candidates");
    return done_testing();
}
