/* A source that passes questions on to another one and digests all questions and answers, in order, with SHA-256. */
#ifndef SP_CONF_DIGEST_H
#define SP_CONF_DIGEST_H

#include "conf/source.h"

/* Does not take over `inner`. */
int sp_source_digest(struct sp_source *inner, struct sp_source **out);
/* More that shall count. */
void sp_source_digest_add(struct sp_source *s, struct sp_str bytes);
/* Ends it: later reads do not count. 0 or -EIO. */
int sp_source_digest_end(struct sp_source *s, uint8_t digest[32]);

#endif
