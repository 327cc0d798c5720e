#include "cli/version.h"

#include <event2/event.h>
#include <gnu/libc-version.h>
#include <mosquitto.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sqlite3.h>
#include <stdio.h>
#include <yaml.h>

#include "conf/module.h"
#include "sp_config.h"

void
sp_version_print(void)
{
    puts("sallyport " SP_VERSION);
}

void
sp_version_print_build(void)
{
    char pcre2[64] = "";
    int  major = 0, minor = 0, revision = 0;

    sp_version_print();
    printf("built by   %s\n", SP_COMPILER);
    printf("configure  %s\n", SP_CONFIGURE_ARGS[0] == '\0' ? "(no arguments)" : SP_CONFIGURE_ARGS);
    printf("prefix     %s\n", SP_PREFIX);
    printf("openssl    %s\n", OpenSSL_version(OPENSSL_VERSION));
    printf("libevent   %s\n", event_get_version());
    printf("sqlite     %s\n", sqlite3_libversion());
    if (pcre2_config(PCRE2_CONFIG_VERSION, pcre2) > 0) {
        printf("pcre2      %s\n", pcre2);
    }
    printf("libyaml    %s\n", yaml_get_version_string());
    (void)mosquitto_lib_version(&major, &minor, &revision);
    printf("mosquitto  %d.%d.%d\n", major, minor, revision);
    printf("glibc      %s\n", gnu_get_libc_version());
    fputs("modules   ", stdout);
    for (const struct sp_module *const *m = sp_modules; *m != NULL; m++) {
        printf(" %s", (*m)->name);
    }
    putchar('\n');
}
