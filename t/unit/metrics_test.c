#include "base/metrics.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static const struct sp_metric_def first[] = {
    {"sallyport_test_packets_total", "Packets.", SP_COUNTER},
    {"sallyport_test_connections", "Connections.", SP_GAUGE},
};
static const struct sp_metric_def second[] = {{"sallyport_test_bytes_total", "Bytes.", SP_COUNTER}};
static struct sp_metric_def       many[SP_METRICS_MAX];

static void
in_child(struct sp_metrics *m, unsigned slot, int64_t by)
{
    pid_t pid = fork();

    if (pid == 0) {
        sp_metrics_attach(m, slot);
        sp_metric_add(sp_metrics_mine(m), by);
        sp_metric_add(sp_metrics_mine(m) + 1, by);
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
}

int
main(void)
{
    struct sp_metrics *m;

    is_int(sp_metrics_create(&m, 0), -EINVAL, "no slots");
    is_int(sp_metrics_create(&m, 3), 0, "create");
    is_int(sp_metrics_register(m, first, 2), 0, "the first table");
    is_int(sp_metrics_register(m, second, 1), 2, "the second table follows");
    is_int(sp_metrics_count(m), 3, "count");
    is_str(sp_metrics_def(m, 2)->name, "sallyport_test_bytes_total", "definition");
    ok(sp_metrics_def(m, 3) == NULL && sp_metrics_def(m, -1) == NULL, "definition: out of range");
    ok(sp_metrics_cell(m, 3, 0) == NULL && sp_metrics_cell(m, 0, 3) == NULL && sp_metrics_cell(m, 0, -1) == NULL,
       "cell: out of range");

    in_child(m, 0, 5);
    in_child(m, 1, 7);
    is_int(sp_metrics_sum(m, 0), 12, "a counter over processes");
    is_int(sp_metrics_sum(m, 1), 12, "a gauge over processes");
    is_int(atomic_load(sp_metrics_cell(m, 1, 0)), 7, "one process's cell");
    in_child(m, 1, 100);
    is_int(sp_metrics_sum(m, 0), 112, "a counter goes on after a respawn");
    is_int(sp_metrics_sum(m, 1), 105, "a gauge starts again after a respawn");
    is_int(sp_metrics_sum(m, 2), 0, "an unused one");

    is_int(sp_metrics_register(m, many, SP_METRICS_MAX - 2), -ENOSPC, "one too many");
    is_int(sp_metrics_count(m), 3, "nothing of it was registered");
    is_int(sp_metrics_register(m, many, SP_METRICS_MAX - 3), 3, "just full");
    sp_metrics_destroy(m);
    sp_metrics_destroy(NULL);
    return done_testing();
}
