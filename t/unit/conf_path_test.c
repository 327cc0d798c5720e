#include <errno.h>

#include "conf/path.h"
#include "tap.h"

int
main(void)
{
    struct sp_arena *a;

    is_int(sp_arena_create(&a), 0, "arena");
    is_str(sp_path_full(a, "/p/", SP_STR("conf/x")).p, "/p/conf/x", "relative");
    is_str(sp_path_full(a, "/p/", SP_STR("/x")).p, "/x", "absolute");
    is_str(sp_path_full(a, "", SP_STR("x")).p, "x", "no prefix");
    is_str(sp_path_shown("/p/", SP_STR("/p/conf/x")).p, "conf/x", "shown");
    is_str(sp_path_shown("/p/", SP_STR("/q/x")).p, "/q/x", "shown as it is");
    is_str(sp_path_shown("/p/", SP_STR("/p/")).p, "/p/", "the prefix itself");
    is_str(sp_path_prefix(a, "/p"), "/p/", "with a slash");
    is_str(sp_path_prefix(a, "/p/"), "/p/", "with one slash");
    is_str(sp_path_prefix(a, NULL), "", "none");
    ok(sp_str_has_glob(SP_STR("a/*.conf")) && sp_str_has_glob(SP_STR("a?")) && !sp_str_has_glob(SP_STR("a.conf")),
       "patterns");
    is_str(sp_file_error(-ENOENT), "no such file", "an error");
    is_str(sp_file_error(-ENODATA), "it is empty (half-written?)", "an empty file");
    sp_arena_destroy(a);
    return done_testing();
}
