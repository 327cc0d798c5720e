#include "net/access_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "process/process.h"

#define LINE_BYTES 8192

enum variable {
    V_TIME,
    V_EVENT,
    V_WORKER,
    V_IDENTITY,
    V_CLIENT,
    V_PEER,
    V_LISTENER,
    V_PROTOCOL,
    V_VERSION,
    V_REALM,
    V_TOPIC,
    V_ACTION,
    V_QOS,
    V_RECEIVED,
    V_SENT,
    V_DURATION,
    V_REASON,
    V_WHERE,
    V_GENERATION,
    VARIABLES,
};

static const char *const variables[VARIABLES + 1] = {
    "time",  "event",  "worker", "identity", "client", "peer",     "listener", "protocol", "version",    "realm",
    "topic", "action", "qos",    "received", "sent",   "duration", "reason",   "where",    "generation", NULL,
};

static const struct sp_str built_in = {
    "$time $event identity=$identity client=$client peer=$peer listener=$listener topic=$topic reason=$reason "
    "where=$where",
    sizeof("$time $event identity=$identity client=$client peer=$peer listener=$listener topic=$topic reason=$reason "
           "where=$where") -
        1};

/* In JSON a number's name has its unit. */
static const char *
json_name(enum variable v)
{
    switch (v) {
    case V_RECEIVED:
        return "received_bytes";
    case V_SENT:
        return "sent_bytes";
    case V_DURATION:
        return "duration_ms";
    default:
        return variables[v];
    }
}

struct out {
    char  *p;
    size_t n, cap;
};

static void
add(struct out *o, const char *bytes, size_t n)
{
    n = n < o->cap - o->n ? n : o->cap - o->n;
    memcpy(o->p + o->n, bytes, n);
    o->n += n;
}

/* The value as a slice: peers' bytes as they came, numbers printed into `scratch`. */
static struct sp_str
value_of(enum variable v, const struct sp_process *p, const struct sp_access_event *e, char scratch[48])
{
    int64_t number = -1;

    switch (v) {
    case V_TIME:
        return sp_str_c(sp_clock_rfc3339(scratch, sp_clock_wall_ms()));
    case V_EVENT:
        return sp_str_c(e->event);
    case V_IDENTITY:
        return e->identity;
    case V_CLIENT:
        return e->client;
    case V_PEER:
        return e->peer;
    case V_LISTENER:
        return e->listener;
    case V_PROTOCOL:
        return sp_str_c(e->protocol);
    case V_REALM:
        return e->realm;
    case V_TOPIC:
        return e->topic;
    case V_ACTION:
        return sp_str_c(e->action);
    case V_REASON:
        return sp_str_c(e->reason);
    case V_WHERE:
        return e->where;
    case V_WORKER:
        number = p->slot;
        break;
    case V_VERSION:
        number = e->version == 0 ? -1 : (int64_t)e->version;
        break;
    case V_QOS:
        number = e->qos;
        break;
    case V_RECEIVED:
        number = e->received_bytes;
        break;
    case V_SENT:
        number = e->sent_bytes;
        break;
    case V_DURATION:
        number = e->duration_ms;
        break;
    case V_GENERATION:
        number = p->snapshot == NULL ? -1 : (int64_t)p->snapshot->generation;
        break;
    case VARIABLES:
        break;
    }
    if (number < 0) {
        return (struct sp_str){NULL, 0};
    }
    snprintf(scratch, 48, "%" PRId64, number);
    return sp_str_c(scratch);
}

static bool
is_number(enum variable v)
{
    return v == V_WORKER || v == V_VERSION || v == V_QOS || v == V_RECEIVED || v == V_SENT || v == V_DURATION ||
           v == V_GENERATION;
}

static bool
is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The variable's name behind a `$`, and which it is; VARIABLES when there is none of that name. */
static enum variable
variable_at(struct sp_str rest, size_t *name_bytes)
{
    size_t n = 0;

    while (n < rest.n && is_name_char(rest.p[n])) {
        n++;
    }
    *name_bytes = n;
    for (unsigned v = 0; v < VARIABLES; v++) {
        if (sp_str_is((struct sp_str){rest.p, n}, variables[v])) {
            return (enum variable)v;
        }
    }
    return VARIABLES;
}

static bool
is_said_by_peer(enum variable v)
{
    return v == V_IDENTITY || v == V_CLIENT || v == V_TOPIC;
}

/* A peer must not be able to say what looks like the next field, or like nothing at all. */
static void
add_said(struct out *o, const char *shown)
{
    if (strcmp(shown, "-") == 0) {
        add(o, "\\x2d", 4);
        return;
    }
    for (; *shown != '\0'; shown++) {
        if (*shown == ' ') {
            add(o, "\\x20", 4);
        } else if (*shown == '"') {
            add(o, "\\x22", 4);
        } else {
            add(o, shown, 1);
        }
    }
}

static void
add_escaped(struct out *o, struct sp_str s, bool said_by_peer)
{
    char shown[1024];

    if (s.n == 0) {
        add(o, "-", 1);
        return;
    }
    sp_str_escape(shown, sizeof(shown), s);
    if (said_by_peer) {
        add_said(o, shown);
    } else {
        add(o, shown, strlen(shown));
    }
}

static void
format_text(struct out *o, const struct sp_process *p, struct sp_str format, const struct sp_access_event *e)
{
    for (size_t i = 0; i < format.n;) {
        struct sp_str rest = {format.p + i + 1, format.n - i - 1};
        size_t        name_bytes;
        char          scratch[48];
        enum variable v;

        if (format.p[i] != '$' || (v = variable_at(rest, &name_bytes)) == VARIABLES) {
            add(o, format.p + i++, 1);
            continue;
        }
        add_escaped(o, value_of(v, p, e, scratch), is_said_by_peer(v));
        i += 1 + name_bytes;
    }
}

/* A member that does not fit is left out, so that the line is JSON whatever a peer said. */
static void
add_member(struct out *o, const char *name, const char *value, size_t n)
{
    if (strlen(name) + n + sizeof(",\"\":}") - 1 > o->cap - o->n) {
        return;
    }
    add(o, o->n == 1 ? "\"" : ",\"", o->n == 1 ? 1 : 2);
    add(o, name, strlen(name));
    add(o, "\":", 2);
    add(o, value, n);
}

static void
format_json(struct out *o, const struct sp_process *p, const struct sp_access_event *e)
{
    add(o, "{", 1);
    for (unsigned v = 0; v < VARIABLES; v++) {
        char          scratch[48], text[2048];
        struct sp_str s = value_of((enum variable)v, p, e, scratch);

        if (s.n == 0) {
            continue;
        }
        if (is_number((enum variable)v)) {
            add_member(o, json_name((enum variable)v), s.p, s.n);
        } else {
            s.n = s.n < 300 ? s.n : 300; /* six bytes each at worst */
            add_member(o, json_name((enum variable)v), text, sp_str_json(text, sizeof(text), s));
        }
    }
    add(o, "}", 1);
}

size_t
sp_access_format(char *dst, size_t cap, const struct sp_process *p, struct sp_str format, bool json,
                 const struct sp_access_event *e)
{
    struct out o = {dst, 0, cap};

    if (json) {
        format_json(&o, p, e);
    } else {
        format_text(&o, p, format.p == NULL ? built_in : format, e);
    }
    return o.n;
}

static const struct sp_access_log_conf *
settings(const struct sp_process *p)
{
    const struct sp_value *v =
        p->snapshot == NULL ? NULL : sp_block_value(p->snapshot, p->snapshot->main, "access_log");

    return v == NULL ? NULL : v->u.ptr;
}

bool
sp_access_enabled(const struct sp_process *p)
{
    const struct sp_access_log_conf *c = settings(p);

    return c != NULL && !c->off;
}

void
sp_access_log(struct sp_process *p, const struct sp_access_event *e)
{
    const struct sp_access_log_conf *c = settings(p);
    char                             line[LINE_BYTES + 1];
    size_t                           n;
    int                              fd;

    if (c == NULL || c->off) {
        return;
    }
    fd = sp_process_log_fd(p, c->path);
    if (fd < 0) {
        return;
    }
    n = sp_access_format(line, LINE_BYTES, p, c->format == NULL ? (struct sp_str){NULL, 0} : c->format->text, c->json,
                         e);
    line[n++] = '\n';
    if (write(fd, line, n) < 0) {
        static struct sp_log_limit limit;

        sp_log_limited(&limit, 1, SP_LOG_ERROR, "access log: %s", strerror(errno));
    }
}

/* The argument of a log_format that holds byte `at` of its texts put together. */
static unsigned
argument_of(const struct sp_conf_node *node, size_t at)
{
    unsigned i = 2;

    while (i + 1 < node->nargs && at >= node->args[i].text.n) {
        at -= node->args[i++].text.n;
    }
    return i;
}

static void
describe_variables(char *dst, size_t cap, struct sp_str name)
{
    const char *near = sp_suggest(name, variables);
    size_t      n;

    if (near != NULL) {
        (void)snprintf(dst, cap, "did you mean $%s?", near);
        return;
    }
    n = (size_t)snprintf(dst, cap, "expected one of");
    for (unsigned v = 0; v < VARIABLES && n < cap; v++) {
        n += (size_t)snprintf(dst + n, cap - n, " $%s", variables[v]);
    }
}

int
sp_access_format_check(struct sp_build *b, const struct sp_conf_node *node, struct sp_str format)
{
    int rc = 0;

    for (size_t i = 0; i < format.n; i++) {
        struct sp_str rest = {format.p + i + 1, format.n - i - 1};
        size_t        name_bytes;
        char          shown[64], hint[400];

        if (format.p[i] != '$' || variable_at(rest, &name_bytes) != VARIABLES) {
            continue;
        }
        rest.n = name_bytes;
        sp_str_escape(shown, sizeof(shown), rest);
        describe_variables(hint, sizeof(hint), rest);
        rc = sp_build_error(
            b, node, argument_of(node, i), hint,
            name_bytes > 0 ? "unknown variable $%s in a log format" : "a $%s in a log format names no variable", shown);
    }
    return rc;
}
