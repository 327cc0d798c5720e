/*
 * The launch plan: what the master has to know of a configuration, made by the probe from its snapshot and sent as plain
 * numbers and texts, so that the master never parses a configuration.
 */
#ifndef SP_PROCESS_PLAN_H
#define SP_PROCESS_PLAN_H

#include <sys/socket.h>
#include <sys/types.h>

#include "conf/snapshot.h"
#include "process/pack.h"

struct sp_plan_listener {
    struct sockaddr_storage addr;
    socklen_t               addr_len;
    int                     backlog;
    char *address, *where, *protocol, *trust; /* "[::]:8883", "conf/x.conf:9", "mqtt", "" when plain */
};

struct sp_plan {
    unsigned                 workers;
    bool                     daemon;
    uint64_t                 connections; /* per worker */
    bool                     drop;        /* a user is named */
    uid_t                    uid;
    gid_t                    gid;
    gid_t                   *groups;
    unsigned                 ngroups;
    char                    *user; /* its name, "" if none */
    char                    *pid_path, *control_path, *data_dir;
    unsigned                 log_level; /* enum sp_log_level */
    char                   **logs;      /* files that the gateway appends to; [0] is the error log */
    unsigned                 nlogs;
    struct sp_plan_listener *listeners; /* in the order of snapshot->listeners */
    unsigned                 nlisteners;
    uint8_t                  digest[32];
    char                    *warnings; /* text, "" if none */
};

#define SP_PLAN_LISTENERS_MAX 1024
#define SP_PLAN_LOGS_MAX      64
#define SP_PLAN_GROUPS_MAX    1024

/* Appends the plan to *out. -EINVAL with a text in *error (malloc'd) when the machine lacks what the configuration names
 * (the user), -ENOMEM. */
int sp_plan_make(const struct sp_snapshot *s, struct sp_pack *out, char **error);
/* -EBADMSG when it is malformed, -ENOMEM. */
int  sp_plan_parse(struct sp_str bytes, struct sp_plan **out);
void sp_plan_free(struct sp_plan *plan);

#endif
