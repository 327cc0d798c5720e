/*
 * The order of one publisher's messages at one receiver. Sequence numbers start at 0 and rise by one.
 * Exact while a reordering spans at most 64 messages; beyond that a late message and a repeated one are told apart only
 * when nothing is missing. The number of messages missing at the end is exact unless both happen at once.
 */
#ifndef SP_BENCH_STREAM_H
#define SP_BENCH_STREAM_H

#include <stdint.h>

enum sp_arrival {
    SP_IN_ORDER,
    SP_AFTER_GAP, /* in order, but others before it are missing so far */
    SP_LATE,      /* came after a later one: order violated */
    SP_REPEATED
};

struct sp_stream {
    uint64_t next;    /* one more than the highest number seen */
    uint64_t missing; /* below next and not seen */
    uint64_t seen;    /* bit i: number next - 1 - i was seen */
};

/* Record that seq arrived. */
enum sp_arrival sp_stream_arrive(struct sp_stream *s, uint64_t seq);

/* Messages that have not arrived when `sent` were sent. */
static inline uint64_t
sp_stream_lost(const struct sp_stream *s, uint64_t sent)
{
    return s->missing + (sent > s->next ? sent - s->next : 0);
}

#endif
