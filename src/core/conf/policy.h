/*
 * Policy: the values in force for a path global -> realm -> topic blocks -> application, folded by the core with
 * provenance and floors and memoised in the snapshot; and the question "may this subject do this to this topic?", which the
 * core passes on to the module that registered itself as resolver (policy_resolver).
 */
#ifndef SP_CONF_POLICY_H
#define SP_CONF_POLICY_H

#include "conf/snapshot.h"

/* The blocks on a path. Least specific topic block first. */
struct sp_path {
    const struct sp_block *realm;      /* NULL: no realm claims the topic */
    const struct sp_block *topics[16]; /* beyond 16 matching blocks the build refuses the configuration */
    unsigned               ntopics;
    const struct sp_block *application; /* NULL: none */
};

struct sp_policy {
    uint64_t                generation;
    struct sp_path          path;
    unsigned                nvalues;
    const struct sp_value **values; /* by directive id; NULL: not a policy value, or unset without default */
};

/* Memoised; lives as long as the snapshot. Not thread-safe after the build. */
const struct sp_policy *sp_policy_fold(struct sp_snapshot *s, const struct sp_path *path);
/* At build time: folds every block below `realm`/global and reports floors that are loosened, looser STRICTEST values
 * (warnings). Called by the core's build for all realms. */
int sp_policy_check(struct sp_build *b);

static inline const struct sp_value *
sp_policy_value(const struct sp_policy *p, int id)
{
    return id < 0 || (unsigned)id >= p->nvalues ? NULL : p->values[id];
}
static inline int64_t
sp_policy_num(const struct sp_policy *p, int id, int64_t otherwise)
{
    const struct sp_value *v = sp_policy_value(p, id);
    return v == NULL ? otherwise : v->u.num;
}

/* "conf/sallyport.conf:31", or "default". Returns dst. */
const char *sp_where(char *dst, size_t cap, const struct sp_conf_node *node);

/* -- deciding -- */

enum sp_action { SP_PUBLISH, SP_SUBSCRIBE };

/* Who asks. All slices are borrowed for the call. */
struct sp_subject {
    struct sp_str          identity;  /* verified name; "anonymous" on a plain listener */
    bool                   anonymous; /* no credential at all (mosquitto's client without user name) */
    struct sp_str          client_id; /* a claim: only for aclfile's %c */
    const struct sp_block *realm;     /* listener tied to this realm, or NULL */
    struct sp_str          application;
};

struct sp_decision {
    bool allowed;
    const struct sp_conf_node
        *rule; /* the allow or deny that decided; the realm's node when no rule matched; NULL: default */
    struct sp_str
        where; /* "file:line" of that, in the snapshot's arena; "default" if NULL. For an aclfile rule: its file:line */
    const char *reason; /* static: "denied by rule", "no allow rule matches", "no realm claims the topic" … */
    const struct sp_policy *policy; /* the values in force for the topic; never NULL */
};

enum sp_grant { SP_GRANT_NONE, SP_GRANT_OVERLAP, SP_GRANT_WHOLE };

struct sp_resolver {
    /* The folded policy for a topic name. Memoised by the caller per topic if it likes. */
    const struct sp_policy *(*policy)(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str topic);
    void (*decide)(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
                   struct sp_decision *out);
    /* May this filter be subscribed? Under `subscription overlap` it is granted when it can match something allowed; under
     * `subscription within` only when all it can match is. out as in decide (policy: that of the most specific realm
     * the filter lies in, else global). */
    enum sp_grant (*grant)(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str filter,
                           struct sp_decision *out);
    /* The text (or JSON) that `sallyport explain` prints; malloc'd. */
    int (*explain)(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
                   bool json, char **text);
};

/* Registered once, in a module's init; the second one is refused with -EBUSY. */
int sp_resolver_register(const struct sp_resolver *r);
const struct sp_resolver *
sp_resolver(void); /* without a module: one that denies everything, "built without policy_resolver" */

#endif
