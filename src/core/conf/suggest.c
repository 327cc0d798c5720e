#include "conf/diag.h"

/* A third of the word may be wrong, at least one character, at most three. */
static unsigned
tolerance(size_t n)
{
    return n <= 2 ? 0 : n < 6 ? 1 : n < 9 ? 2 : 3;
}

const char *
sp_suggest(struct sp_str word, const char *const *candidates)
{
    unsigned    limit = tolerance(word.n), best = limit + 1;
    const char *found = NULL;

    if (limit == 0) {
        return NULL;
    }
    for (; *candidates != NULL; candidates++) {
        unsigned d = sp_str_distance(word, sp_str_c(*candidates), limit);
        if (d < best) {
            best = d;
            found = *candidates;
        }
    }
    return found;
}
