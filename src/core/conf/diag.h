/*
 * Diagnostics: every error of a configuration in one run (up to 20), each with file:line:col, the source line, a caret,
 * what was expected and perhaps a suggestion:
 *
 *   conf/sallyport.conf:31:12: error: unknown directive "publsh"
 *    31 |     allow  drone  publsh "/health/drone";
 *       |                   ^~~~~~ expected publish or subscribe; did you mean "publish"?
 */
#ifndef SP_CONF_DIAG_H
#define SP_CONF_DIAG_H

#include <stdarg.h>

#include "base/arena.h"

struct sp_conf_file {
    struct sp_str path; /* as the operator wrote it, relative to the prefix where it was relative */
    struct sp_str text;
};

struct sp_pos {
    const struct sp_conf_file *file;             /* NULL: no place (built-in default, command line) */
    uint32_t                   line, col, width; /* from 1; width of the marked token in bytes */
};

enum sp_severity { SP_ERROR, SP_WARNING, SP_NOTE };

#define SP_DIAG_MAX 20

struct sp_diag;

int      sp_diag_create(struct sp_diag **out);
void     sp_diag_destroy(struct sp_diag *d);
unsigned sp_diag_errors(const struct sp_diag *d); /* all of them, also those beyond SP_DIAG_MAX */
unsigned sp_diag_warnings(const struct sp_diag *d);

/* message: what is wrong; hint (may be NULL): what was expected and the suggestion, printed behind the caret. Bytes of
 * the file that appear in either are escaped by the caller (sp_str_escape). A NOTE belongs to the error before it. */
void sp_diag_add(struct sp_diag *d, enum sp_severity s, struct sp_pos pos, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void sp_diag_vadd(struct sp_diag *d, enum sp_severity s, struct sp_pos pos, const char *hint, const char *fmt,
                  va_list ap);

/* The whole text, sorted by file and line as found; ends with "N errors, M warnings" when there were more than shown.
 * Valid until the next add. */
struct sp_str sp_diag_text(struct sp_diag *d);

/* "did you mean" over candidates (NULL-terminated), or NULL when none is near. */
const char *sp_suggest(struct sp_str word, const char *const *candidates);

#endif
