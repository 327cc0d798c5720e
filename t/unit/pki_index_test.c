#include "cli/pki_index.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>

static const char good[] = "# comment\n"
                           "\n"
                           "crl-number 7\n"
                           "crl-days 90\n"
                           "0A drone 2026-02-18T19:00:00Z superseded\n"
                           "7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF drone 2026-05-18T19:00:00Z valid\n"
                           "0B gcs 2026-02-18T19:00:00Z revoked 2026-01-02T03:04:05Z keyCompromise\n"
                           "end 3\n";

static void
test_good(void)
{
    struct sp_pki_index  index, again;
    struct sp_pki_entry *entry;
    char                 why[256] = "", *text = NULL;
    size_t               len = 0;

    sp_pki_index_init(&index);
    is_int(sp_pki_index_parse(&index, good, sizeof(good) - 1, why, sizeof(why)), 0, "parses");
    is_str(why, "", "no complaint");
    is_int(index.count, 3, "three entries");
    is_int(index.crl_number, 7, "crl-number");
    is_int(index.crl_days, 90, "crl-days");

    entry = sp_pki_index_find(&index, "drone");
    ok(entry != NULL && entry->state == SP_PKI_VALID, "finds the valid one");
    entry = sp_pki_index_find(&index, "gcs");
    ok(entry != NULL && entry->state == SP_PKI_REVOKED && entry->reason == 1, "revoked one");
    ok(sp_pki_index_find(&index, "dron") == NULL, "no such name");

    is_int(sp_pki_index_format(&index, &text, &len), 0, "formats");
    sp_pki_index_init(&again);
    is_int(sp_pki_index_parse(&again, text, len, why, sizeof(why)), 0, "round trip");
    is_int(again.count, 3, "round trip keeps the entries");
    is_int(again.entries[2].revoked_at, index.entries[2].revoked_at, "and the times");
    free(text);
    sp_pki_index_free(&again);
    sp_pki_index_free(&index);
}

static void
test_cut(void)
{
    struct sp_pki_index index;
    char                why[256];
    size_t              len, accepted = 0;

    for (len = 0; len < sizeof(good) - 1; len++) {
        sp_pki_index_init(&index);
        accepted += sp_pki_index_parse(&index, good, len, why, sizeof(why)) == 0;
        sp_pki_index_free(&index);
    }
    is_int(accepted, 0, "every cut-off copy is refused");
}

static void
test_bad(void)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "line 1: expected a last line 'end N'; the file is cut off"},
        {"end 1\n", "line 1: expected 'end N' with N the number of certificates above; lines "
                    "seem to be missing or added"},
        {"end 0\nend 0\n", "line 2: expected nothing after the line 'end N'"},
        {"crl-days 0\nend 0\n", "line 1: expected 'crl-days N' with N from 1 to 36500"},
        {"crl-number -1\nend 0\n", "line 1: expected 'crl-number N'"},
        {"crl-number 99999999999999999999\nend 0\n", "line 1: expected 'crl-number N'"},
        {"0A drone\nend 1\n", "line 1: expected SERIAL NAME NOTAFTER STATE, and for a revoked "
                              "one also the time and the reason"},
        {"xx drone 2026-02-18T19:00:00Z valid\nend 1\n",
         "line 1: expected a serial of up to 40 hex digits (0-9 A-F) in the first field"},
        {"0A ../x 2026-02-18T19:00:00Z valid\nend 1\n",
         "line 1: expected a name of 1 to 64 A-Z a-z 0-9 . _ - @ in the second field"},
        {"0A drone 2026-02-30T19:00:00Z valid\nend 1\n",
         "line 1: expected a time such as 2026-02-18T19:00:00Z in the third field"},
        {"0A drone 2026-02-18T19:00:00Z good\nend 1\n",
         "line 1: expected valid, superseded or revoked in the fourth field"},
        {"0A drone 2026-02-18T19:00:00Z revoked\nend 1\n",
         "line 1: expected the time and the reason after 'revoked', and only there"},
        {"0A drone 2026-02-18T19:00:00Z valid 2026-02-18T19:00:00Z superseded\nend 1\n",
         "line 1: expected the time and the reason after 'revoked', and only there"},
        {"0A drone 2026-02-18T19:00:00Z revoked 2026-01-01T00:00:00Z whim\nend 1\n",
         "line 1: expected a time such as 2026-02-18T19:00:00Z and a reason such as "
         "keyCompromise after 'revoked'"},
    };
    struct sp_pki_index index;
    char                why[256], big[700];
    size_t              i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        why[0] = '\0';
        sp_pki_index_init(&index);
        is_int(sp_pki_index_parse(&index, cases[i].text, strlen(cases[i].text), why, sizeof(why)), -EINVAL,
               "bad index %zu", i);
        is_str(why, cases[i].why, "its message");
        sp_pki_index_free(&index);
    }
    memset(big, 'A', sizeof(big));
    big[sizeof(big) - 1] = '\n';
    sp_pki_index_init(&index);
    is_int(sp_pki_index_parse(&index, big, sizeof(big), why, sizeof(why)), -EINVAL, "long line");
    is_int(sp_pki_index_parse(&index, "end\0 0\n", 7, why, sizeof(why)), -EINVAL, "NUL byte");
    sp_pki_index_free(&index);
}

static void
test_words(void)
{
    char   text[SP_PKI_TIME_SIZE], name[SP_PKI_NAME_MAX + 2];
    time_t when;
    int    reason = -1;

    ok(sp_pki_name_check("drone-1_a.b@c") == NULL, "a good name");
    ok(sp_pki_name_check("") != NULL, "an empty name");
    ok(sp_pki_name_check(".x") != NULL, "a leading dot");
    ok(sp_pki_name_check("-x") != NULL, "a leading hyphen");
    ok(sp_pki_name_check("a/b") != NULL, "a slash");
    ok(sp_pki_name_check("a b") != NULL, "a blank");
    ok(sp_pki_name_check("a\n") != NULL, "a newline");
    ok(sp_pki_name_check("\xc3\xa4") != NULL, "a byte above 127");
    ok(sp_pki_name_check("ca") != NULL, "ca");
    memset(name, 'n', sizeof(name));
    name[SP_PKI_NAME_MAX + 1] = '\0';
    ok(sp_pki_name_check(name) != NULL, "65 characters");
    name[SP_PKI_NAME_MAX] = '\0';
    ok(sp_pki_name_check(name) == NULL, "64 characters");

    is_int(sp_pki_time_parse("1970-01-02T00:00:01Z", &when), 0, "a time");
    is_int(when, 86401, "its value");
    sp_pki_time_format(86401, text);
    is_str(text, "1970-01-02T00:00:01Z", "and back");
    is_int(sp_pki_time_parse("1970-01-02T00:00:01", &when), -EINVAL, "a time without zone");
    is_int(sp_pki_time_parse("1970-01-02T00:00:01Zx", &when), -EINVAL, "a time with a tail");
    is_int(sp_pki_time_parse("", &when), -EINVAL, "an empty time");

    is_int(sp_pki_reason_parse("key-compromise", &reason), 0, "key-compromise");
    is_int(reason, 1, "is 1");
    is_str(sp_pki_reason_name(9), "privilegeWithdrawn", "9");
    ok(sp_pki_reason_name(7) == NULL, "7 is none");
    is_int(sp_pki_reason_parse("certificateHold", &reason), -EINVAL, "no hold");
    is_int(sp_pki_reason_parse("", &reason), -EINVAL, "no empty reason");
}

int
main(void)
{
    test_good();
    test_cut();
    test_bad();
    test_words();
    return done_testing();
}
