#include "net/router.h"
#include "tap.h"

static void
test_borrowed(void)
{
    char              bytes[] = "topic-payload-props";
    struct sp_message m = {
        .topic = {bytes, 5}, .payload = {bytes + 6, 7}, .properties = {bytes + 14, 5}, .qos = 1, .encoded = bytes};
    struct sp_message *one = sp_message_keep(&m), *two = sp_message_keep(&m);

    ok(one != NULL && one == two && one != &m, "all who keep it share one copy");
    ok(m.kept == one && one->refs == 3, "to which the borrowed one refers too");
    memset(bytes, 'x', sizeof(bytes));
    ok(sp_str_is(one->topic, "topic") && sp_str_is(one->payload, "payload") && sp_str_is(one->properties, "props"),
       "of its own");
    ok(one->owner != NULL && one->payload.p == one->owner->data && one->owner->n == 17,
       "in one blob, the payload first");
    ok(one->encoded == NULL && one->kept == NULL && one->qos == 1, "the scratch is not copied");
    sp_blob_ref(one->owner);
    two = one;
    struct sp_blob *blob = one->owner;
    sp_message_drop(one);
    sp_message_drop(two);
    sp_message_drop(m.kept);
    is_int(blob->refs, 1, "an output that refers to the blob outlives the message");
    sp_blob_unref(blob);
}

static void
test_kept(void)
{
    struct sp_message  m = {.topic = SP_STR("t")}; /* no payload, no properties */
    struct sp_message *one = sp_message_keep(&m);

    ok(one != NULL && one->payload.n == 0 && one->properties.n == 0, "empty parts");
    sp_message_drop(m.kept);
    ok(sp_message_keep(one) == one && one->refs == 2, "a kept one is counted, not copied");
    sp_message_drop(one);
    sp_message_drop(one);
    sp_message_drop(NULL);
    sp_message_drop(&m); /* borrowed: nothing to drop */
    ok(true, "nothing and borrowed ones may be dropped");
}

static void
test_expiry(void)
{
    struct sp_message m = {.received_ms = 10000, .expiry_s = 3};
    uint32_t          left = 0;

    ok(sp_message_expiry(&m, 10000, &left) && left == 3, "at once: all of it");
    ok(sp_message_expiry(&m, 9000, &left) && left == 3, "a clock that is behind does not prolong it");
    ok(sp_message_expiry(&m, 12999, &left) && left == 1, "the last second");
    ok(!sp_message_expiry(&m, 13000, &left), "over");
    m.expiry_s = 0;
    ok(!sp_message_expiry(&m, 10000, &left), "0: over at once");
    m.expiry_s = UINT32_MAX;
    ok(sp_message_expiry(&m, UINT64_MAX, &left) && left == UINT32_MAX, "never");
}

int
main(void)
{
    test_borrowed();
    test_kept();
    test_expiry();
    return done_testing();
}
