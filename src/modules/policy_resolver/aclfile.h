/*
 * Mosquitto's acl_file: `user NAME`, `topic [read|write|readwrite|deny] FILTER`, `pattern …` with %u and %c, `#` comments.
 * A file gives the same outcome as in Mosquitto 2: `topic` lines before the first `user` are for clients without a name only;
 * who has a name has their own section and then the patterns; in each of the two, denials are looked at first and then the
 * first that allows; a name or client id that holds `+` or `#` gets nothing from patterns.
 */
#ifndef SP_POLICY_RESOLVER_ACLFILE_H
#define SP_POLICY_RESOLVER_ACLFILE_H

#include "base/hash.h"
#include "modules/policy_resolver/filterset.h"

struct sp_acl_line {     /* the `rule` of the entries */
    struct sp_str where; /* "conf/aclfile:12" */
    struct sp_str text;  /* the line */
};

struct sp_acl_user {
    struct sp_acl_user  *next;
    struct sp_str        name;
    struct sp_filter_set rules;
};

struct sp_aclfile {
    struct sp_map        users;                       /* name -> struct sp_acl_user */
    struct sp_acl_user  *all;                         /* the same, linked */
    struct sp_acl_user   nobody;                      /* clients without a name */
    struct sp_filter_set patterns, nameless_patterns; /* the second: those without %u, for clients without a name */
    unsigned             count;
};

/* Errors and warnings go to diag with their place in the file. 0, or -EINVAL: a bad line, or no rule in it at all. The map and the
 * tries live as long as the arena. */
int sp_aclfile_parse(struct sp_arena *a, struct sp_diag *diag, const struct sp_conf_file *file,
                     struct sp_aclfile **out);

enum sp_acl_verdict { SP_ACL_NONE, SP_ACL_ALLOW, SP_ACL_DENY };

/* q->topic, ->action, ->identity, ->client, ->scratch are asked. *line: which line decided, NULL if none. */
enum sp_acl_verdict sp_aclfile_ask(const struct sp_aclfile *acl, bool anonymous, struct sp_question *q,
                                   const struct sp_acl_line **line);

/* The name (or, where patterns ask, the client id) holds a wildcard: patterns then deny. */
bool sp_aclfile_dangerous(const struct sp_aclfile *acl, bool anonymous, struct sp_str identity, struct sp_str client);
/* The section of a client; NULL: none. */
const struct sp_acl_user *sp_aclfile_user(const struct sp_aclfile *acl, bool anonymous, struct sp_str identity);

#endif
