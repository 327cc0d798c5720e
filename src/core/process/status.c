#include "process/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "process/pack.h"

#define DEPTH_MAX 16

struct sp_status {
    struct sp_pack text;
    char           close[DEPTH_MAX]; /* what closes each open level */
    bool           comma[DEPTH_MAX];
    unsigned       depth;
    size_t         open_bytes; /* of text, before sp_status_json closed it */
    bool           closed;
};

static void
put(struct sp_status *s, const char *text)
{
    sp_pack_bytes(&s->text, text, strlen(text));
}

static void
put_json(struct sp_status *s, struct sp_str value)
{
    char   small[256];
    size_t n = sp_str_json(small, sizeof small, value);

    if (n < sizeof small) {
        sp_pack_bytes(&s->text, small, n);
        return;
    }
    char *large = malloc(n + 1);
    if (large == NULL) {
        s->text.failed = true;
        return;
    }
    (void)sp_str_json(large, n + 1, value);
    sp_pack_bytes(&s->text, large, n);
    free(large);
}

static void
reopen(struct sp_status *s)
{
    if (s->closed) {
        s->text.n = s->open_bytes;
        s->closed = false;
    }
}

static void
key(struct sp_status *s, const char *name)
{
    reopen(s);
    if (s->comma[s->depth]) {
        put(s, ",");
    }
    s->comma[s->depth] = true;
    if (name != NULL) {
        put_json(s, sp_str_c(name));
        put(s, ":");
    }
}

static void
open_level(struct sp_status *s, const char *name, const char *opens, char closes)
{
    key(s, name);
    put(s, opens);
    if (s->depth + 1 < DEPTH_MAX) {
        s->depth++;
        s->close[s->depth] = closes;
        s->comma[s->depth] = false;
    } else {
        s->text.failed = true;
    }
}

int
sp_status_create(struct sp_status **out)
{
    struct sp_status *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return -ENOMEM;
    }
    put(s, "{");
    s->close[0] = '}';
    *out = s;
    return 0;
}

void
sp_status_destroy(struct sp_status *s)
{
    if (s != NULL) {
        sp_pack_free(&s->text);
        free(s);
    }
}

void
sp_status_num(struct sp_status *s, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    key(s, name);
    put(s, text);
}

void
sp_status_str(struct sp_status *s, const char *name, struct sp_str value)
{
    key(s, name);
    put_json(s, value);
}

void
sp_status_object(struct sp_status *s, const char *name)
{
    open_level(s, name, "{", '}');
}

void
sp_status_list(struct sp_status *s, const char *name)
{
    open_level(s, name, "[", ']');
}

void
sp_status_members(struct sp_status *s, struct sp_str json)
{
    key(s, NULL);
    sp_pack_bytes(&s->text, json.p, json.n);
}

void
sp_status_end(struct sp_status *s)
{
    reopen(s);
    if (s->depth > 0) {
        sp_pack_bytes(&s->text, &s->close[s->depth], 1);
        s->depth--;
    }
}

struct sp_str
sp_status_json(struct sp_status *s)
{
    reopen(s);
    s->open_bytes = s->text.n;
    s->closed = true;
    for (unsigned d = s->depth + 1; d > 0; d--) {
        sp_pack_bytes(&s->text, &s->close[d - 1], 1);
    }
    return s->text.failed ? SP_STR("{}") : (struct sp_str){s->text.p, s->text.n};
}
