/*
 * The command line of spload. Strings point into argv. Durations are kept in milliseconds, sizes in bytes.
 */
#ifndef SP_BENCH_OPTIONS_H
#define SP_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define SP_PIDS_MAX 64

enum sp_scenario { SP_THROUGHPUT, SP_LATENCY, SP_STEADY, SP_IDLE, SP_HANDSHAKE };

enum sp_layout {
    SP_PAIRS,  /* publisher i on topic i to subscriber i */
    SP_FANOUT, /* one topic, everybody subscribes to it */
    SP_FANIN   /* a topic for each publisher, every subscriber takes all of them with one wildcard */
};

/* Deliberate faults: proof that the generator sees what it claims to see. */
enum sp_fault {
    SP_FAULT_NONE,
    SP_FAULT_LOSS, /* a sequence number is counted as sent, but is not sent */
    SP_FAULT_DUP,  /* a message is sent twice */
    SP_FAULT_SWAP, /* two neighbours change places */
    SP_FAULT_FLIP  /* a byte of the payload is damaged */
};

struct sp_options {
    enum sp_scenario scenario;
    enum sp_layout   layout;
    enum sp_fault    fault;
    unsigned         fault_every;

    const char *host;
    uint16_t    port;
    bool        tls, v5, json, strict;
    const char *cafile, *cert, *key, *groups;
    const char *client_prefix, *topic_prefix, *subscribe, *label;
    unsigned    keepalive_s;

    unsigned publishers, subscribers, qos;
    size_t   payload_bytes;
    uint64_t count; /* messages a publisher; 0: until duration_ms */
    uint64_t duration_ms, warmup_ms;
    unsigned credit; /* messages a publisher may be ahead of its slowest receiver */
    unsigned window; /* unacknowledged QoS 1 messages a publisher */
    unsigned refill_pct;
    unsigned batch;
    uint64_t rate; /* messages a second over all publishers, paced scenarios */

    unsigned connections, concurrency, connect_rate, sources;
    uint64_t settle_ms, stall_ms, drain_ms, connect_ms;

    pid_t  pids[SP_PIDS_MAX];
    size_t npids;
};

/* Fill *o from the command line. 0, or -EINVAL after a message on stderr, or 1 when help was printed. */
int sp_options_parse(struct sp_options *o, int argc, char **argv);

/* The scenario's name as on the command line. */
const char *sp_options_scenario(const struct sp_options *o);

/* The layout's name as on the command line. */
const char *sp_options_layout(const struct sp_options *o);

#endif
