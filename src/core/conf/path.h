/* Paths of the configuration: relative ones are relative to the prefix and shown without it. */
#ifndef SP_CONF_PATH_H
#define SP_CONF_PATH_H

#include "base/arena.h"

/* The path to open, NUL-terminated in the arena. prefix: "" or ends in '/'. */
struct sp_str sp_path_full(struct sp_arena *a, const char *prefix, struct sp_str path);
/* A full path as the operator would write it. */
struct sp_str sp_path_shown(const char *prefix, struct sp_str full);
/* The prefix with a '/' at its end, "" if NULL or empty. */
const char *sp_path_prefix(struct sp_arena *a, const char *prefix);
/* Has it characters that glob(7) gives a meaning? */
bool sp_str_has_glob(struct sp_str s);
/* What went wrong with a file, for an operator: "no such file", "it is empty" (ENODATA) … */
const char *sp_file_error(int err);

#endif
