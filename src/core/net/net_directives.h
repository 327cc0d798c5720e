/* The directives of the network core: `trust` blocks, and limits that hold for every worker. */
#ifndef SP_NET_NET_DIRECTIVES_H
#define SP_NET_NET_DIRECTIVES_H

#include "net/trust.h"

/* The limits of a snapshot, read once per commit. Times in ms; SP_OFF: no limit. */
struct sp_net_limits {
    int64_t handshake_timeout_ms;
    int64_t send_timeout_ms;
    int64_t max_handshakes;
    int64_t max_per_address;
    int64_t max_connections; /* worker_connections */
};

void sp_net_limits_read(const struct sp_snapshot *s, struct sp_net_limits *out);

/* trust.c: builds every trust block into b->snapshot->trusts. listener.c: every listen line into b->snapshot->listeners. */
int sp_trust_build(struct sp_build *b);
int sp_listener_build(struct sp_build *b);

#endif
