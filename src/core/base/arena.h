/*
 * An arena: memory for what dies together (a snapshot, a parse). Blocks grow geometrically; single allocations are never
 * freed; the whole is wiped (OPENSSL_cleanse) and freed at once. Not thread-safe: one owner at a time.
 */
#ifndef SP_BASE_ARENA_H
#define SP_BASE_ARENA_H

#include "base/str.h"

struct sp_arena;

/* -ENOMEM or 0. */
int sp_arena_create(struct sp_arena **out);
/* Runs the cleanups in reverse order, wipes and frees everything. NULL is allowed. */
void sp_arena_destroy(struct sp_arena *a);

/* Zeroed memory aligned for any type; aborts the process with a message when memory is exhausted, so callers need no
 * error path. (Configuration is built in a probe first: exhaustion there is a refused reload.) */
void *sp_arena_alloc(struct sp_arena *a, size_t bytes);
void *sp_arena_array(struct sp_arena *a, size_t count, size_t bytes_each);

/* Copies; the result is NUL-terminated behind its length. */
struct sp_str sp_arena_str(struct sp_arena *a, struct sp_str s);
char         *sp_arena_printf(struct sp_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* `fn(arg)` runs when the arena is destroyed: for what is not memory (SSL_CTX, fds, pcre2 code). */
void sp_arena_defer(struct sp_arena *a, void (*fn)(void *arg), void *arg);

size_t sp_arena_bytes(const struct sp_arena *a);

#endif
