/*
 * The access log: a line per connection, refusal and denial, in the format of `access_log PATH [NAME|json]`. What a peer said is
 * escaped (in identity, client and topic spaces and quotes too). Not for every message: a rate of millions is no log.
 *
 * Variables of log_format: $time $event $worker $identity $client $peer $listener $protocol $version $realm $topic $action $qos
 * $received $sent $duration $reason $where $generation (bytes; milliseconds). An empty one prints "-". A name is as long as
 * letters, digits and _ go on.
 */
#ifndef SP_NET_ACCESS_LOG_H
#define SP_NET_ACCESS_LOG_H

#include "conf/build.h"
#include "conf/core_directives.h"

struct sp_process;

struct sp_access_event { /* zeroed but for what is known; slices borrowed for the call */
    const char   *event; /* "connect", "disconnect", "refused", "denied" */
    struct sp_str identity, client, peer, listener, realm, topic;
    const char   *protocol, *action, *reason;              /* static or borrowed texts of our own; NULL: none */
    struct sp_str where;                                   /* file:line of the rule */
    unsigned      version;                                 /* of the protocol; 0: none */
    int           qos;                                     /* -1: none */
    int64_t       received_bytes, sent_bytes, duration_ms; /* -1: none */
};
#define SP_ACCESS_EVENT                                                                                                \
    {                                                                                                                  \
        .qos = -1, .received_bytes = -1, .sent_bytes = -1, .duration_ms = -1                                           \
    }

/* At build time: every $variable of the format must exist. `format` is what the texts of the log_format `node` make put together;
 * errors name the text that holds the variable. 0 or -EINVAL. */
int sp_access_format_check(struct sp_build *b, const struct sp_conf_node *node, struct sp_str format);

/* Is there an access log at all? Callers skip the work of an event otherwise. */
bool sp_access_enabled(const struct sp_process *p);
void sp_access_log(struct sp_process *p, const struct sp_access_event *e);

/* One line into dst (without the newline); format.p NULL: the built-in one; json overrides. Returns its length. A line that does not
 * fit in cap (>= 2) is cut; JSON loses whole members instead. */
size_t sp_access_format(char *dst, size_t cap, const struct sp_process *p, struct sp_str format, bool json,
                        const struct sp_access_event *e);

#endif
