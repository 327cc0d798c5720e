/* sallyport: finds out what is wanted and passes it on. */
#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "cli/ctl.h"
#include "cli/explain.h"
#include "cli/options.h"
#include "cli/pki.h"
#include "cli/version.h"
#include "conf/module.h"
#include "conf/registry.h"
#include "process/master.h"

/* Commands that know the directives: every module is initialised first. */
static enum sp_exit
with_registry(const struct sp_options *o)
{
    struct sp_registry *r = NULL;
    enum sp_exit        rc;

    for (const struct sp_module *const *m = sp_modules; *m != NULL; m++) {
        int err = (*m)->init == NULL ? 0 : (*m)->init();
        if (err < 0) {
            fprintf(stderr, "sallyport: module %s cannot be initialised: %s\n", (*m)->name, strerror(-err));
            return SP_EXIT_FAILURE;
        }
    }
    if (sp_registry_create(sp_modules, &r) < 0) {
        return SP_EXIT_FAILURE;
    }
    switch (o->command) {
    case SP_CMD_TEST:
        rc = sp_check_test(o, r);
        break;
    case SP_CMD_DUMP:
        rc = sp_check_dump(o, r);
        break;
    case SP_CMD_DIRECTIVES:
        rc = sp_check_directives(o, r);
        break;
    case SP_CMD_EXPLAIN:
        rc = sp_explain_main(o, r);
        break;
    default:
        rc = sp_master_main(o, r);
        break;
    }
    sp_registry_destroy(r);
    return rc;
}

static enum sp_exit
dispatch(const struct sp_options *o)
{
    switch (o->command) {
    case SP_CMD_HELP:
        sp_options_help();
        return SP_EXIT_OK;
    case SP_CMD_VERSION:
        sp_version_print();
        return SP_EXIT_OK;
    case SP_CMD_BUILD:
        sp_version_print_build();
        return SP_EXIT_OK;
    case SP_CMD_SIGNAL:
        return sp_ctl_signal(o);
    case SP_CMD_STATUS:
        return sp_ctl_status(o);
    case SP_CMD_PKI:
        return (enum sp_exit)sp_pki_main(o->argc, o->argv);
    default:
        return with_registry(o);
    }
}

int
main(int argc, char **argv)
{
    struct sp_options o;

    enum sp_exit rc = sp_options_parse(argc, argv, &o);
    if (rc == SP_EXIT_OK) {
        rc = dispatch(&o);
        sp_options_free(&o);
    }
    return (int)rc;
}
