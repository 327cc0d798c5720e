/*
 * A bundle: every answer that the master gave while the probe built a configuration, in one sealed memfd. A worker that
 * builds from it sees exactly the bytes that the probe saw, without touching the file system.
 *
 * The conversation (one stream socket, probe asks, master answers):
 *   probe -> master  READ path | GLOB pattern | DONE (launch plan, digest) | FAILED (text of all diagnostics)
 *   master -> probe  errno, bytes
 * The master never interprets a byte of what it reads.
 */
#ifndef SP_CONF_BUNDLE_H
#define SP_CONF_BUNDLE_H

#include "conf/source.h"

struct sp_bundle; /* the master's side: collects */

int sp_bundle_create(struct sp_bundle **out);
/* Reads the file or expands the pattern (through sp_source_files), records the outcome, errors too, and gives the
 * bytes. The same question twice gets the recorded answer. */
int sp_bundle_read(struct sp_bundle *b, const char *path, struct sp_str *out);
int sp_bundle_glob(struct sp_bundle *b, const char *pattern, struct sp_str **paths, size_t *count);
/* Writes all into a memfd sealed against any change; the descriptor belongs to the caller. */
int  sp_bundle_seal(struct sp_bundle *b, int *fd);
void sp_bundle_destroy(struct sp_bundle *b); /* wipes */

/* The reader's side: maps the memfd (validating every length) and answers only what was recorded; anything else is
 * -ENOENT. Does not take over the fd. */
int sp_source_bundle(int memfd, struct sp_source **out);
/* The probe's side: asks over the socket. Does not take over the fd. */
int sp_source_remote(int socket, struct sp_source **out);

/* The master's end of the conversation: serves READ and GLOB until the peer says DONE or FAILED or dies, or `timeout_ms`
 * has passed. On DONE: 0 and the launch plan in *reply (malloc'd; caller frees). On FAILED: -EINVAL and the diagnostics in
 * *reply. -EPIPE when the peer died, -ETIMEDOUT. */
int sp_bundle_serve(struct sp_bundle *b, int socket, unsigned timeout_ms, char **reply, size_t *reply_bytes);
/* The probe's last word. */
int sp_probe_done(int socket, const void *plan, size_t bytes);
int sp_probe_failed(int socket, const char *diagnostics, size_t bytes);

#endif
