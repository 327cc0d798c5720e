/* A builder for `sallyport status`: each process and module adds keyed values; printed as text or JSON. */
#ifndef SP_PROCESS_STATUS_H
#define SP_PROCESS_STATUS_H

#include "base/str.h"

struct sp_status;

int  sp_status_create(struct sp_status **out);
void sp_status_destroy(struct sp_status *s);
void sp_status_num(struct sp_status *s, const char *key, int64_t value);
void sp_status_str(struct sp_status *s, const char *key, struct sp_str value);
void sp_status_object(struct sp_status *s, const char *key); /* key NULL inside a list */
void sp_status_list(struct sp_status *s, const char *key);
/* Members of another object as they are: "a":1,"b":2 (from another process of ours). */
void sp_status_members(struct sp_status *s, struct sp_str json);
void sp_status_end(struct sp_status *s); /* of the innermost object or list */
/* The JSON text so far, all closed; valid until the next call. */
struct sp_str sp_status_json(struct sp_status *s);

#endif
