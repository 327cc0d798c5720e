#include "process/process.h"

#include <stdlib.h>

#include "base/log.h"

struct sp_later {
    struct sp_later *next;
    void (*fn)(struct sp_process *p, void *arg);
    void *arg;
};

void
sp_process_hold(struct sp_process *p)
{
    p->holds++;
}

void
sp_process_release(struct sp_process *p)
{
    if (p->holds == 0) {
        sp_log(SP_LOG_ALERT, "a hold was released that nobody had taken");
        return;
    }
    if (--p->holds == 0 && p->unheld != NULL) {
        p->unheld(p);
    }
}

void
sp_process_later(struct sp_process *p, void (*fn)(struct sp_process *p, void *arg), void *arg)
{
    struct sp_later *l = p->later_free;

    if (l != NULL) {
        p->later_free = l->next;
    } else {
        l = malloc(sizeof *l);
        if (l == NULL) {
            sp_log(SP_LOG_EMERG, "out of memory for a deferred call");
            abort();
        }
    }
    *l = (struct sp_later){NULL, fn, arg};
    if (p->later_first == NULL) {
        p->later_first = l;
    } else {
        p->later_last->next = l;
    }
    p->later_last = l;
}

bool
sp_process_run_later(struct sp_process *p)
{
    struct sp_later *l = p->later_first;

    p->later_first = NULL;
    p->later_last = NULL;
    while (l != NULL) {
        struct sp_later *next = l->next;
        void (*fn)(struct sp_process *, void *) = l->fn;
        void *arg = l->arg;
        l->next = p->later_free;
        p->later_free = l;
        fn(p, arg);
        l = next;
    }
    return p->later_first != NULL;
}

static void
free_list(struct sp_later **list)
{
    while (*list != NULL) {
        struct sp_later *l = *list;
        *list = l->next;
        free(l);
    }
}

void
sp_process_forget_later(struct sp_process *p)
{
    free_list(&p->later_first);
    free_list(&p->later_free);
    p->later_last = NULL;
}

int
sp_process_log_fd(const struct sp_process *p, struct sp_str path)
{
    for (unsigned i = 0; i < p->nlogs; i++) {
        if (sp_str_is(path, p->logs[i].path)) {
            return p->logs[i].fd;
        }
    }
    return -1;
}
