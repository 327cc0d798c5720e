#include "stream.h"

static enum sp_arrival
arrive_behind(struct sp_stream *s, uint64_t seq)
{
    uint64_t back = s->next - 1 - seq;

    if (s->missing == 0) {
        return SP_REPEATED;
    }
    if (back < 64) {
        if ((s->seen >> back & 1) != 0) {
            return SP_REPEATED;
        }
        s->seen |= UINT64_C(1) << back;
    }
    s->missing--;
    return SP_LATE;
}

enum sp_arrival
sp_stream_arrive(struct sp_stream *s, uint64_t seq)
{
    uint64_t skipped;

    if (seq == s->next) {
        s->next++;
        s->seen = s->seen << 1 | 1;
        return SP_IN_ORDER;
    }
    if (seq < s->next) {
        return arrive_behind(s, seq);
    }
    skipped = seq - s->next;
    s->missing += skipped;
    s->next = seq + 1;
    s->seen = skipped >= 63 ? 1 : s->seen << (skipped + 1) | 1;
    return SP_AFTER_GAP;
}
