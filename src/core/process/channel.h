/*
 * The channel between the master and one of its processes (or between an old and a new master): a SEQPACKET socket pair
 * with typed messages that may carry descriptors. Messages longer than a packet travel in parts. Everything is bounded:
 * what breaks the format or a limit closes the channel.
 */
#ifndef SP_PROCESS_CHANNEL_H
#define SP_PROCESS_CHANNEL_H

#include "base/str.h"

struct event_base;
struct sp_channel;

enum sp_channel_type {
    /* child -> master */
    SP_MSG_READY = 1, /* started; u64 generation */
    SP_MSG_ACCEPTING, /* worker: listeners are open */
    SP_MSG_PREPARED,  /* digest[32]; id: the generation's low half */
    SP_MSG_FAILED,    /* text */
    SP_MSG_COMMITTED, /* u32 kept, trimmed, closed; u64 swap_us */
    SP_MSG_REPLY,     /* id; u32 exit code, text */
    /* master -> child */
    SP_MSG_PEERS,   /* u32 n, n times u32 slot, u32 epoch: who is up as you join */
    SP_MSG_UP,      /* u32 slot, u32 epoch */
    SP_MSG_DOWN,    /* u32 slot, u32 epoch */
    SP_MSG_PREPARE, /* u64 generation; fds: bundle, listeners */
    SP_MSG_COMMIT,
    SP_MSG_ABORT,
    SP_MSG_STOP,    /* now */
    SP_MSG_QUIT,    /* gracefully; u64 drain_ms */
    SP_MSG_REOPEN,  /* u32 log level, u32 n, n paths; fds: n files, the error log first */
    SP_MSG_REQUEST, /* id; u32 argc, texts */
    SP_MSG_PAUSE,   /* stop accepting: a successor takes over */
    SP_MSG_RESUME,  /* it did not */
    /* old master <-> new master */
    SP_MSG_LISTENER, /* u32 slot, address text; fd */
    SP_MSG_ADOPT,    /* u32 workers, u64 generation, ticket secret[32]: all listeners sent */
    SP_MSG_STANDBY,  /* new: every worker is up and waits */
    SP_MSG_GO,       /* old: the store is free, nobody accepts */
    SP_MSG_DONE,     /* new: accepting; u32 pid */
    SP_MSG_TYPES,
};

#define SP_CHANNEL_MESSAGE_MAX (16u << 20)
#define SP_CHANNEL_FDS_MAX     4096u
#define SP_CHANNEL_QUEUE_MAX   (64u << 20)

struct sp_channel_message {
    enum sp_channel_type type;
    uint32_t             id; /* pairs a reply with its request */
    struct sp_str        body;
    int                 *fds; /* set to -1 those that you keep: the others are closed after the call */
    size_t               nfds;
};

/* Both ends close-on-exec and non-blocking. 0 or negative errno. */
int sp_channel_pair(int ends[2]);

/* Takes over fd, also on failure. on_closed: once, when the peer has gone or broke the rules (err < 0 then, 0 at a plain end); the
 * channel still exists and accepts sends, which go nowhere; destroying it in either callback is allowed. */
int  sp_channel_create(struct event_base *base, int fd,
                       void (*on_message)(void *arg, const struct sp_channel_message *m),
                       void (*on_closed)(void *arg, int err), void *arg, struct sp_channel **out);
void sp_channel_destroy(struct sp_channel *c);

/* Queues; descriptors are duplicated, the caller keeps his. -EPIPE, -ENOMEM, -EMSGSIZE, -ENOBUFS (queue over its limit). */
int sp_channel_send(struct sp_channel *c, enum sp_channel_type type, uint32_t id, struct sp_str body, const int *fds,
                    size_t nfds);
/* Writes what is queued, waiting for the peer at most timeout_ms: before an exit. */
void sp_channel_drain(struct sp_channel *c, unsigned timeout_ms);
int  sp_channel_fd(const struct sp_channel *c);

#endif
