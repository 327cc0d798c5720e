#include "conf/module.h"
#include "modules/policy_resolver/directives.h"
#include "modules/policy_resolver/resolver.h"

static const struct sp_resolver resolver = {
    .policy = sp_resolver_policy,
    .decide = sp_resolver_decide,
    .grant = sp_resolver_grant,
    .explain = sp_resolver_explain,
};

static int
init(void)
{
    return sp_resolver_register(&resolver);
}

const struct sp_module sp_policy_resolver_module = {
    .name = "policy_resolver",
    .abi = SP_MODULE_ABI,
    .directives = sp_policy_resolver_directives,
    .ndirectives = SP_POLICY_RESOLVER_NDIRECTIVES,
    .init = init,
    .build = sp_resolver_build,
};
