#include "conf/provenance.h"

#include <stdio.h>

const char *
sp_where(char *dst, size_t cap, const struct sp_conf_node *node)
{
    struct sp_pos pos = sp_node_pos(node, 0);
    char          path[512];

    if (pos.file == NULL) {
        (void)snprintf(dst, cap, "default");
    } else {
        (void)snprintf(dst, cap, "%s:%u", sp_str_escape(path, sizeof(path), pos.file->path), pos.line);
    }
    return dst;
}

void
sp_text_args(struct sp_text *t, const struct sp_conf_node *node)
{
    for (unsigned i = 1; i < node->nargs; i++) {
        if (i > 1) {
            sp_text_add(t, SP_STR(" "));
        }
        sp_text_word(t, node->args[i].text);
    }
}

void
sp_text_value(struct sp_text *t, const struct sp_value *v)
{
    if (v->node != NULL) {
        sp_text_args(t, v->node);
    } else if (v->directive->fallback != NULL) {
        sp_text_add(t, sp_str_c(v->directive->fallback));
    }
}

const char *
sp_value_words(char *dst, size_t cap, const struct sp_value *v)
{
    struct sp_text t = {0};

    sp_text_value(&t, v);
    if (t.p == NULL) {
        sp_text_add(&t, SP_STR(""));
    }
    (void)snprintf(dst, cap, "%s", t.p);
    if (t.n >= cap && cap > 4) {
        memcpy(dst + cap - 4, "...", 4);
    }
    sp_text_free(&t);
    return dst;
}

bool
sp_value_same(const struct sp_value *a, const struct sp_value *b)
{
    struct sp_text x = {0}, y = {0};
    bool           same;

    sp_text_value(&x, a);
    sp_text_value(&y, b);
    same = sp_str_eq((struct sp_str){x.p, x.n}, (struct sp_str){y.p, y.n});
    sp_text_free(&x);
    sp_text_free(&y);
    return same;
}
