/* spload: load for MQTT servers, with every message accounted for. */
#include <signal.h>

#include "options.h"
#include "scenarios.h"

static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
    (void)number;
    stop = 1;
}

int
main(int argc, char **argv)
{
    struct sigaction  action = {.sa_handler = on_signal};
    struct sp_options options;
    int               rc = sp_options_parse(&options, argc, argv);

    if (rc != 0) {
        return rc > 0 ? 0 : 2;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    switch (options.scenario) {
    case SP_THROUGHPUT:
        return sp_throughput_run(&options, &stop);
    case SP_LATENCY:
    case SP_STEADY:
        return sp_paced_run(&options, &stop);
    case SP_IDLE:
        return sp_idle_run(&options, &stop);
    case SP_HANDSHAKE:
        return sp_handshake_run(&options, &stop);
    }
    return 2;
}
