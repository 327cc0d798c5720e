#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "conf/bundle.h"
#include "conf/bundle_format.h"

/* One end of the conversation. deadline_ms 0: waits for ever. */
struct wire {
    int     socket;
    int64_t deadline_ms;
};

static int64_t
now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
wait_for(const struct wire *w, short events)
{
    for (;;) {
        struct pollfd p = {w->socket, events, 0};
        int64_t       left = w->deadline_ms == 0 ? -1 : w->deadline_ms - now_ms();
        int           n;

        if (w->deadline_ms != 0 && left <= 0) {
            return -ETIMEDOUT;
        }
        n = poll(&p, 1, (int)left);
        if (n > 0) {
            return 0; /* errors and hang-ups show in the call that follows */
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
    }
}

static int
transfer(const struct wire *w, void *p, size_t n, bool out)
{
    char *at = p;

    while (n > 0) {
        ssize_t k = out ? send(w->socket, at, n, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(w->socket, at, n, MSG_DONTWAIT);
        if (k > 0) {
            at += k;
            n -= (size_t)k;
            continue;
        }
        if (k == 0) {
            return -EPIPE;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            int err = wait_for(w, out ? POLLOUT : POLLIN);
            if (err < 0) {
                return err;
            }
        } else if (errno != EINTR) {
            return errno == ECONNRESET || errno == EPIPE ? -EPIPE : -errno;
        }
    }
    return 0;
}

static int
send_frame(const struct wire *w, uint32_t kind, int error, struct sp_str bytes)
{
    struct sp_bundle_frame f = {kind, error, bytes.n};
    int                    err = transfer(w, &f, sizeof(f), true);

    return err < 0 ? err : transfer(w, (void *)(uintptr_t)bytes.p, bytes.n, true);
}

/* -- the probe's side -- */

struct remote {
    struct sp_source source;
    struct sp_arena *arena;
    struct wire      wire;
};

static int
ask(struct remote *r, uint32_t kind, const char *question, struct sp_str *answer)
{
    struct sp_str          q = sp_str_c(question);
    struct sp_bundle_frame f;
    char                  *p;
    int                    err;

    if (q.n > SP_BUNDLE_PATH_MAX) {
        return -ENAMETOOLONG;
    }
    err = send_frame(&r->wire, kind, 0, q);
    if (err == 0) {
        err = transfer(&r->wire, &f, sizeof(f), false);
    }
    if (err < 0) {
        return err;
    }
    if (f.kind != SP_BUNDLE_ANSWER || f.bytes > SP_BUNDLE_ANSWER_MAX || f.error > 0) {
        return -EBADMSG;
    }
    p = sp_arena_alloc(r->arena, f.bytes + 1);
    err = transfer(&r->wire, p, f.bytes, false);
    *answer = (struct sp_str){p, f.bytes};
    return err < 0 ? err : f.error;
}

static int
remote_read(struct sp_source *s, const char *path, struct sp_str *out)
{
    return ask((struct remote *)s, SP_BUNDLE_READ, path, out);
}

static int
remote_glob(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count)
{
    struct remote *r = (struct remote *)s;
    struct sp_str  answer;
    int            err = ask(r, SP_BUNDLE_GLOB, pattern, &answer);

    return err < 0 ? err : sp_bundle_paths_unpack(r->arena, answer, paths, count);
}

static void
remote_close(struct sp_source *s)
{
    struct remote *r = (struct remote *)s;

    sp_arena_destroy(r->arena);
    free(r);
}

int
sp_source_remote(int socket, struct sp_source **out)
{
    struct remote *r = calloc(1, sizeof(*r));
    int            err;

    if (r == NULL) {
        return -ENOMEM;
    }
    err = sp_arena_create(&r->arena);
    if (err < 0) {
        free(r);
        return err;
    }
    r->source = (struct sp_source){remote_read, remote_glob, remote_close};
    r->wire.socket = socket;
    *out = &r->source;
    return 0;
}

int
sp_probe_done(int socket, const void *plan, size_t bytes)
{
    struct wire w = {socket, 0};

    return bytes > SP_BUNDLE_REPLY_MAX ? -EMSGSIZE : send_frame(&w, SP_BUNDLE_DONE, 0, (struct sp_str){plan, bytes});
}

int
sp_probe_failed(int socket, const char *diagnostics, size_t bytes)
{
    struct wire w = {socket, 0};

    if (bytes > SP_BUNDLE_REPLY_MAX) {
        bytes = SP_BUNDLE_REPLY_MAX;
    }
    return send_frame(&w, SP_BUNDLE_FAILED, 0, (struct sp_str){diagnostics, bytes});
}

/* -- the master's side -- */

static int
answer(struct sp_bundle *b, const struct wire *w, const struct sp_bundle_frame *f)
{
    char             question[SP_BUNDLE_PATH_MAX + 1];
    struct sp_str    bytes = {NULL, 0}, *paths;
    size_t           count;
    struct sp_arena *scratch = NULL;
    int              err = -EBADMSG, result;

    if (f->bytes > SP_BUNDLE_PATH_MAX) {
        return err;
    }
    err = transfer(w, question, f->bytes, false);
    if (err < 0) {
        return err;
    }
    question[f->bytes] = '\0';
    if (f->bytes == 0 || memchr(question, '\0', f->bytes) != NULL) {
        return -EBADMSG;
    }
    if (f->kind == SP_BUNDLE_READ) {
        result = sp_bundle_read(b, question, &bytes);
    } else {
        err = sp_arena_create(&scratch);
        if (err < 0) {
            return err;
        }
        result = sp_bundle_glob(b, question, &paths, &count);
        if (result == 0) {
            bytes = sp_bundle_paths_pack(scratch, paths, count);
        }
    }
    if (result < 0) {
        bytes = (struct sp_str){NULL, 0};
    }
    err = send_frame(w, SP_BUNDLE_ANSWER, result, bytes);
    sp_arena_destroy(scratch);
    return err;
}

static int
last_word(const struct wire *w, const struct sp_bundle_frame *f, char **reply, size_t *reply_bytes)
{
    char *p;
    int   err;

    if (f->bytes > SP_BUNDLE_REPLY_MAX) {
        return -EBADMSG;
    }
    p = malloc(f->bytes + 1);
    if (p == NULL) {
        return -ENOMEM;
    }
    err = transfer(w, p, f->bytes, false);
    if (err < 0) {
        free(p);
        return err;
    }
    p[f->bytes] = '\0';
    *reply = p;
    *reply_bytes = f->bytes;
    return f->kind == SP_BUNDLE_DONE ? 0 : -EINVAL;
}

int
sp_bundle_serve(struct sp_bundle *b, int socket, unsigned timeout_ms, char **reply, size_t *reply_bytes)
{
    struct wire            w = {socket, now_ms() + (int64_t)timeout_ms};
    struct sp_bundle_frame f;
    int                    err;

    *reply = NULL;
    *reply_bytes = 0;
    for (;;) {
        err = transfer(&w, &f, sizeof(f), false);
        if (err < 0) {
            return err;
        }
        switch (f.kind) {
        case SP_BUNDLE_READ:
        case SP_BUNDLE_GLOB:
            err = answer(b, &w, &f);
            break;
        case SP_BUNDLE_DONE:
        case SP_BUNDLE_FAILED:
            return last_word(&w, &f, reply, reply_bytes);
        default:
            return -EBADMSG;
        }
        if (err < 0) {
            return err;
        }
        if (now_ms() > w.deadline_ms) {
            return -ETIMEDOUT;
        }
    }
}
