#include "cli/ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/show.h"
#include "conf/core_directives.h"
#include "conf/tree.h"
#include "process/control_wire.h"
#include "process/unixsock.h"

static char *
join(const char *prefix, struct sp_str path)
{
    size_t n = path.n > 0 && path.p[0] == '/' ? 0 : strlen(prefix);
    char  *full = malloc(n + path.n + 1);

    if (full != NULL) {
        memcpy(full, prefix, n);
        memcpy(full + n, path.p, path.n);
        full[n + path.n] = '\0';
    }
    return full;
}

static const char *
fallback(void)
{
    for (size_t i = 0; i < sp_core_ndirectives; i++) {
        if (strcmp(sp_core_directives[i].name, "control") == 0) {
            return sp_core_directives[i].fallback;
        }
    }
    return "";
}

/* Where the gateway listens. The configuration is only parsed, for the one line: it may be broken (the gateway will say
 * so), and may name keys that we must not read. */
static char *
control_path(const struct sp_options *o)
{
    struct sp_arena     *arena = NULL;
    struct sp_source    *source = NULL;
    struct sp_diag      *diag = NULL;
    struct sp_conf_node *root = NULL;
    struct sp_str        path = sp_str_c(fallback());
    char                *found = NULL;

    if (o->control != NULL) {
        return strdup(o->control);
    }
    if (sp_arena_create(&arena) < 0 || sp_source_files(&source) < 0 || sp_diag_create(&diag) < 0) {
        goto done;
    }
    (void)sp_conf_parse(arena, source, o->prefix, o->conf, o->extra, diag, &root);
    for (const struct sp_conf_node *n = root == NULL ? NULL : root->children; n != NULL; n = n->next) {
        if (n->nargs == 2 && sp_str_is(n->args[0].text, "control") && n->args[1].text.n > 0) {
            path = n->args[1].text;
        }
    }
    found = join(o->prefix, path);
done:
    sp_diag_destroy(diag);
    sp_source_close(source);
    sp_arena_destroy(arena);
    return found;
}

static int
send_request(int fd, const char *const *args, unsigned n)
{
    struct sp_pack body = {0}, whole = {0};
    int            err = 0;

    sp_pack_u32(&body, n);
    for (unsigned i = 0; i < n; i++) {
        sp_pack_text(&body, args[i]);
    }
    sp_pack_u32(&whole, SP_CONTROL_MAGIC);
    sp_pack_u32(&whole, (uint32_t)body.n);
    sp_pack_bytes(&whole, body.p, body.n);
    if (body.failed || whole.failed) {
        err = -ENOMEM;
    } else if (body.n > SP_CONTROL_REQUEST_MAX) {
        err = -E2BIG;
    }
    for (size_t sent = 0; err == 0 && sent < whole.n;) {
        ssize_t k = send(fd, whole.p + sent, whole.n - sent, MSG_NOSIGNAL);
        if (k < 0 && errno != EINTR) {
            err = -errno;
        } else if (k > 0) {
            sent += (size_t)k;
        }
    }
    sp_pack_free(&body);
    sp_pack_free(&whole);
    return err;
}

static int
receive_exactly(int fd, char *dst, size_t n)
{
    while (n > 0) {
        ssize_t k = recv(fd, dst, n, 0);
        if (k == 0) {
            return -EPIPE;
        }
        if (k < 0 && errno != EINTR) {
            return -errno;
        }
        if (k > 0) {
            dst += k;
            n -= (size_t)k;
        }
    }
    return 0;
}

/* One frame: its kind, and its bytes in *bytes (malloc'd). Negative errno. */
static int
receive_frame(int fd, char **bytes, uint32_t *n)
{
    char             head[SP_CONTROL_FRAME_BYTES];
    struct sp_unpack u = {head, sizeof head, false};

    int err = receive_exactly(fd, head, sizeof head);
    if (err < 0) {
        return err;
    }
    uint8_t kind = sp_unpack_u8(&u);
    *n = sp_unpack_u32(&u);
    if (kind < SP_CONTROL_OUT || kind > SP_CONTROL_EXIT || *n > SP_CONTROL_FRAME_MAX) {
        return -EBADMSG;
    }
    *bytes = malloc(*n + 1u);
    if (*bytes == NULL) {
        return -ENOMEM;
    }
    err = receive_exactly(fd, *bytes, *n);
    if (err < 0) {
        free(*bytes);
        return err;
    }
    return kind;
}

/* Frames until the EXIT. The code or negative errno. */
static int
converse(int fd, struct sp_pack *collect)
{
    for (;;) {
        char    *bytes;
        uint32_t n, code = SP_EXIT_FAILURE;
        int      kind = receive_frame(fd, &bytes, &n);
        if (kind < 0) {
            return kind;
        }
        if (kind == SP_CONTROL_EXIT) {
            struct sp_unpack u = {bytes, n, false};
            code = sp_unpack_u32(&u);
        } else if (kind == SP_CONTROL_OUT && collect != NULL) {
            sp_pack_bytes(collect, bytes, n);
        } else {
            FILE *to = kind == SP_CONTROL_OUT ? stdout : stderr;
            fwrite(bytes, 1, n, to);
            fflush(to);
        }
        free(bytes);
        if (kind == SP_CONTROL_EXIT) {
            return code > SP_EXIT_REFUSED ? SP_EXIT_FAILURE : (int)code;
        }
    }
}

static enum sp_exit
nobody(const char *path, int err)
{
    if (err == -ENOENT || err == -ECONNREFUSED) {
        fprintf(stderr, "sallyport: no gateway is running (nobody listens on %s); -c and -p say which one is meant\n",
                path);
    } else if (err == -EACCES || err == -EPERM) {
        fprintf(stderr,
                "sallyport: you may not control the gateway at %s: it takes orders from root and from its own user\n",
                path);
    } else {
        fprintf(stderr, "sallyport: cannot reach the gateway at %s: %s\n", path, strerror(-err));
    }
    return SP_EXIT_FAILURE;
}

enum sp_exit
sp_ctl(const struct sp_options *o, const char *const *args, unsigned n, struct sp_pack *collect)
{
    char *path = control_path(o);

    if (path == NULL) {
        fputs("sallyport: out of memory\n", stderr);
        return SP_EXIT_FAILURE;
    }
    enum sp_exit rc;
    int          fd = sp_unix_connect(path);
    if (fd < 0) {
        rc = nobody(path, fd);
    } else {
        int code = send_request(fd, args, n);
        if (code == 0 || code == -EPIPE) {
            code = converse(fd, collect);
        }
        if (code < 0) {
            fprintf(stderr, "sallyport: the gateway ended the conversation without a verdict: %s\n", strerror(-code));
        }
        rc = code < 0 ? SP_EXIT_FAILURE : (enum sp_exit)code;
        close(fd);
    }
    free(path);
    return rc;
}

enum sp_exit
sp_ctl_signal(const struct sp_options *o)
{
    const char *args[] = {o->signal};

    return sp_ctl(o, args, 1, NULL);
}

enum sp_exit
sp_ctl_status(const struct sp_options *o)
{
    const char    *args[] = {"status"};
    struct sp_pack json = {0};

    enum sp_exit rc = sp_ctl(o, args, 1, &json);
    if (rc == SP_EXIT_OK && json.failed) {
        rc = SP_EXIT_FAILURE;
    }
    if (rc == SP_EXIT_OK && o->json) {
        printf("%.*s\n", (int)json.n, json.p);
    } else if (rc == SP_EXIT_OK && sp_show(stdout, (struct sp_str){json.p, json.n}, "metrics") < 0) {
        fputs("sallyport: the gateway's answer cannot be read\n", stderr);
        rc = SP_EXIT_FAILURE;
    }
    sp_pack_free(&json);
    return rc;
}
