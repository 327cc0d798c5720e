/*
 * Publishers and receivers over a fleet: makes the messages, gives out credit, follows the order of every (publisher,
 * receiver) pair and counts everything. Clients 0..subscribers-1 receive, the next `publishers` ones publish.
 *
 * A message's payload: run 4, publisher 4, sequence 8, time sent 8 (all native byte order), then a fixed filling.
 */
#ifndef SP_BENCH_TRAFFIC_H
#define SP_BENCH_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet.h"
#include "hist.h"
#include "report.h"
#include "stream.h"

#define SP_PAYLOAD_MIN 24
#define SP_PAYLOAD_MAX (1024 * 1024)

struct sp_publisher {
    struct sp_client      *client;
    uint8_t               *packet; /* prepared PUBLISH */
    uint8_t               *in_use; /* bit map of packet ids, QoS 1 */
    struct sp_publish_plan plan;
    uint64_t               sent, limit;
    uint64_t               written_off; /* messages below this no longer count against the credit */
    unsigned               unacked, window;
    uint16_t               next_id;
    bool                   waiting, queued;
};

struct sp_counts {
    uint64_t sent, acked;
    uint64_t deliveries; /* PUBLISH packets received */
    uint64_t dups, reordered, gaps;
    uint64_t damaged, misrouted, bad_acks, refused;
};

struct sp_traffic {
    const struct sp_options *o;
    struct sp_fleet          fleet;
    struct sp_publisher     *publishers;
    struct sp_stream        *streams; /* pairs: one a subscriber; else [subscriber][publisher] */
    uint8_t                 *filling;
    unsigned        *ready, *next; /* publishers that may have room now, and those collected for the next round */
    unsigned         nready, nnext;
    struct sp_counts counts;
    struct sp_hist  *hist;            /* NULL: times are not measured */
    uint64_t         measure_from_ns; /* messages sent before are not in hist and not in the gap */
    uint64_t         last_delivery_ns, max_gap_ns, progress_ns;
    uint32_t         run;
    unsigned         stalls;
};

/* Set up and connect everything. 0, or negative errno after a message on stderr. sp_traffic_free() in either case. */
int sp_traffic_start(struct sp_traffic *t, const struct sp_options *o, const volatile sig_atomic_t *stop);

/* How many messages publisher p may send now. */
uint64_t sp_traffic_allowance(struct sp_traffic *t, const struct sp_publisher *p);

/* Let every publisher that may have got room send what it may. True when some stopped only to let others have a turn. */
bool sp_traffic_pump(struct sp_traffic *t);

/* Put all publishers into the next round of sp_traffic_pump(). */
void sp_traffic_wake(struct sp_traffic *t);

/* Put one message into publisher p's output (no flush). It must have allowance. 0 or -ENOMEM. */
int sp_traffic_send(struct sp_traffic *t, struct sp_publisher *p);

/* Everything sent has arrived everywhere and every QoS 1 message was acknowledged. */
bool sp_traffic_complete(const struct sp_traffic *t);

/* Messages that have not arrived, over all streams. */
uint64_t sp_traffic_lost(const struct sp_traffic *t);

/* Stop counting what is outstanding against the credit: what did not come for stall_ms is taken for lost. */
void sp_traffic_write_off(struct sp_traffic *t);

/* Add settings and counts. True when nothing went wrong (loss, repetition, order, damage, connections). */
bool sp_traffic_report(const struct sp_traffic *t, struct sp_report *r);

void sp_traffic_free(struct sp_traffic *t);

#endif
