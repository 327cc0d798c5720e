#include "process/channel.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PART_BYTES (60u * 1024)
#define PART_FDS   64u

struct head { /* of every packet */
    uint32_t magic;
    uint16_t type;
    uint16_t more;
    uint32_t id;
    uint32_t bytes, fds; /* in this packet */
};
#define MAGIC 0x53504331u

struct part {
    struct part *next;
    size_t       bytes; /* head and body */
    unsigned     nfds;
    int          fds[PART_FDS];
    char         data[];
};

struct sp_channel {
    int           fd;
    struct event *reader, *writer;
    void (*on_message)(void *arg, const struct sp_channel_message *m);
    void (*on_closed)(void *arg, int err);
    void        *arg;
    struct part *head, **tail;
    size_t       queued;
    /* the message that is coming in */
    char    *in;
    size_t   in_bytes, in_capacity;
    int     *in_fds;
    size_t   in_nfds, in_fds_capacity;
    uint16_t in_type;
    bool     in_more, closed;
    bool    *destroyed; /* set while a callback runs */
};

int
sp_channel_pair(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        return -errno;
    }
    return 0;
}

static void
close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static void
forget_input(struct sp_channel *c)
{
    close_all(c->in_fds, c->in_nfds);
    c->in_nfds = 0;
    c->in_bytes = 0;
    c->in_more = false;
}

static void
pop_part(struct sp_channel *c)
{
    struct part *p = c->head;

    c->head = p->next;
    if (c->head == NULL) {
        c->tail = &c->head;
    }
    c->queued -= p->bytes;
    close_all(p->fds, p->nfds);
    free(p);
}

/* Tells the owner; the channel may be gone afterwards. */
static void
shut(struct sp_channel *c, int err)
{
    if (c->closed) {
        return;
    }
    c->closed = true;
    event_del(c->reader);
    event_del(c->writer);
    while (c->head != NULL) {
        pop_part(c);
    }
    forget_input(c);
    if (c->on_closed != NULL) {
        c->on_closed(c->arg, err);
    }
}

static int
append_input(struct sp_channel *c, const char *bytes, size_t n, const int *fds, size_t nfds)
{
    if (c->in_bytes + n > SP_CHANNEL_MESSAGE_MAX || c->in_nfds + nfds > SP_CHANNEL_FDS_MAX) {
        return -EMSGSIZE;
    }
    if (c->in_bytes + n > c->in_capacity) {
        size_t capacity = c->in_bytes + n + c->in_capacity;
        char  *in = realloc(c->in, capacity);
        if (in == NULL) {
            return -ENOMEM;
        }
        c->in = in;
        c->in_capacity = capacity;
    }
    if (c->in_nfds + nfds > c->in_fds_capacity) {
        size_t capacity = c->in_nfds + nfds + PART_FDS;
        int   *in = realloc(c->in_fds, capacity * sizeof *in);
        if (in == NULL) {
            return -ENOMEM;
        }
        c->in_fds = in;
        c->in_fds_capacity = capacity;
    }
    if (n > 0) {
        memcpy(c->in + c->in_bytes, bytes, n);
    }
    if (nfds > 0) {
        memcpy(c->in_fds + c->in_nfds, fds, nfds * sizeof *fds);
    }
    c->in_bytes += n;
    c->in_nfds += nfds;
    return 0;
}

static size_t
take_fds(struct msghdr *msg, int *fds, size_t max)
{
    size_t n = 0;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h != NULL; h = CMSG_NXTHDR(msg, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
            if (n < max) {
                fds[n++] = fd;
            } else {
                close(fd);
            }
        }
    }
    return n;
}

/* One packet: 0, -EAGAIN, -ENODATA at the end, or what is wrong. */
static int
read_part(struct sp_channel *c)
{
    char packet[sizeof(struct head) + PART_BYTES];
    union {
        struct cmsghdr align;
        char           bytes[CMSG_SPACE(PART_FDS * sizeof(int))];
    } control;
    int           fds[PART_FDS];
    struct iovec  iov = {packet, sizeof packet};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};

    ssize_t n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0) {
        return errno == EINTR ? -EAGAIN : -errno;
    }
    size_t nfds = take_fds(&msg, fds, PART_FDS);
    if (n == 0) {
        close_all(fds, nfds);
        return -ENODATA;
    }
    struct head head;
    if ((size_t)n < sizeof head || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        close_all(fds, nfds);
        return -EBADMSG;
    }
    memcpy(&head, packet, sizeof head);
    if (head.magic != MAGIC || head.bytes != (size_t)n - sizeof head || head.fds != nfds || head.type == 0 ||
        head.type >= SP_MSG_TYPES || (c->in_more && head.type != c->in_type)) {
        close_all(fds, nfds);
        return -EBADMSG;
    }
    int err = append_input(c, packet + sizeof head, head.bytes, fds, nfds);
    if (err < 0) {
        close_all(fds, nfds);
        return err;
    }
    c->in_type = head.type;
    c->in_more = head.more != 0;
    if (c->in_more) {
        return 0;
    }
    struct sp_channel_message m = {
        (enum sp_channel_type)head.type, head.id, {c->in, c->in_bytes}, c->in_fds, c->in_nfds};
    bool gone = false;
    c->destroyed = &gone;
    if (m.body.p == NULL) {
        m.body.p = "";
    }
    c->on_message(c->arg, &m);
    if (gone) {
        return -ECANCELED;
    }
    c->destroyed = NULL;
    forget_input(c);
    return c->closed ? -ECANCELED : 0;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct sp_channel *c = arg;
    (void)fd;
    (void)what;

    for (unsigned budget = 64; budget > 0; budget--) {
        int err = read_part(c);
        if (err == -ECANCELED || err == -EAGAIN) {
            return;
        }
        if (err < 0) {
            shut(c, err == -ENODATA || err == -ECONNRESET ? 0 : err);
            return;
        }
    }
}

/* 0 when all is written, -EAGAIN, or what is wrong. */
static int
write_parts(struct sp_channel *c)
{
    while (c->head != NULL) {
        struct part *p = c->head;
        union {
            struct cmsghdr align;
            char           bytes[CMSG_SPACE(PART_FDS * sizeof(int))];
        } control;
        struct iovec  iov = {p->data, p->bytes};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        if (p->nfds > 0) {
            memset(&control, 0, sizeof control);
            msg.msg_control = control.bytes;
            msg.msg_controllen = CMSG_SPACE(p->nfds * sizeof(int));
            struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
            h->cmsg_level = SOL_SOCKET;
            h->cmsg_type = SCM_RIGHTS;
            h->cmsg_len = CMSG_LEN(p->nfds * sizeof(int));
            memcpy(CMSG_DATA(h), p->fds, p->nfds * sizeof(int));
        }
        if (sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == ENOBUFS || errno == ETOOMANYREFS ? -EAGAIN : -errno;
        }
        pop_part(c);
    }
    return 0;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct sp_channel *c = arg;
    (void)fd;
    (void)what;

    int err = write_parts(c);
    if (err == 0) {
        event_del(c->writer);
    } else if (err != -EAGAIN) {
        /* what the peer wrote before it went is still to be read: the reader sees the end */
        while (c->head != NULL) {
            pop_part(c);
        }
        event_del(c->writer);
    }
}

int
sp_channel_create(struct event_base *base, int fd, void (*on_message)(void *arg, const struct sp_channel_message *m),
                  void (*on_closed)(void *arg, int err), void *arg, struct sp_channel **out)
{
    struct sp_channel *c = calloc(1, sizeof *c);

    if (c == NULL) {
        close(fd);
        return -ENOMEM;
    }
    c->fd = fd;
    c->tail = &c->head;
    c->on_message = on_message;
    c->on_closed = on_closed;
    c->arg = arg;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    c->reader = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writer = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    if (c->reader == NULL || c->writer == NULL || event_add(c->reader, NULL) < 0) {
        sp_channel_destroy(c);
        return -ENOMEM;
    }
    *out = c;
    return 0;
}

void
sp_channel_destroy(struct sp_channel *c)
{
    if (c == NULL) {
        return;
    }
    if (c->destroyed != NULL) {
        *c->destroyed = true;
    }
    if (c->reader != NULL) {
        event_free(c->reader);
    }
    if (c->writer != NULL) {
        event_free(c->writer);
    }
    while (c->head != NULL) {
        pop_part(c);
    }
    forget_input(c);
    free(c->in);
    free(c->in_fds);
    close(c->fd);
    free(c);
}

static int
queue_part(struct sp_channel *c, const struct head *head, const char *body, const int *fds)
{
    struct part *p = malloc(sizeof *p + sizeof *head + head->bytes);

    if (p == NULL) {
        return -ENOMEM;
    }
    p->next = NULL;
    p->bytes = sizeof *head + head->bytes;
    memcpy(p->data, head, sizeof *head);
    if (head->bytes > 0) {
        memcpy(p->data + sizeof *head, body, head->bytes);
    }
    p->nfds = 0;
    for (uint32_t i = 0; i < head->fds; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
        if (fd < 0) {
            int err = -errno;
            close_all(p->fds, p->nfds);
            free(p);
            return err;
        }
        p->fds[p->nfds++] = fd;
    }
    *c->tail = p;
    c->tail = &p->next;
    c->queued += p->bytes;
    return 0;
}

int
sp_channel_send(struct sp_channel *c, enum sp_channel_type type, uint32_t id, struct sp_str body, const int *fds,
                size_t nfds)
{
    if (c == NULL || c->closed) {
        return -EPIPE;
    }
    if (body.n > SP_CHANNEL_MESSAGE_MAX || nfds > SP_CHANNEL_FDS_MAX) {
        return -EMSGSIZE;
    }
    if (c->queued + body.n > SP_CHANNEL_QUEUE_MAX) {
        return -ENOBUFS;
    }
    do {
        size_t      n = body.n < PART_BYTES ? body.n : PART_BYTES;
        size_t      k = nfds < PART_FDS ? nfds : PART_FDS;
        struct head head = {MAGIC, (uint16_t)type, n < body.n || k < nfds, id, (uint32_t)n, (uint32_t)k};
        int         err = queue_part(c, &head, body.p, fds);
        if (err < 0) {
            /* half a message cannot be taken back: the channel is of no more use */
            shutdown(c->fd, SHUT_RDWR);
            return err;
        }
        if (n > 0) {
            body.p += n;
            body.n -= n;
        }
        if (k > 0) {
            fds += k;
            nfds -= k;
        }
    } while (body.n > 0 || nfds > 0);

    int err = write_parts(c);
    if (err == -EAGAIN) {
        return event_add(c->writer, NULL) < 0 ? -ENOMEM : 0;
    }
    if (err < 0) {
        while (c->head != NULL) {
            pop_part(c);
        }
    }
    return err;
}

void
sp_channel_drain(struct sp_channel *c, unsigned timeout_ms)
{
    while (c != NULL && !c->closed && c->head != NULL && write_parts(c) == -EAGAIN) {
        struct pollfd pfd = {c->fd, POLLOUT, 0};
        if (poll(&pfd, 1, (int)timeout_ms) <= 0) {
            return;
        }
    }
}

int
sp_channel_fd(const struct sp_channel *c)
{
    return c->fd;
}
