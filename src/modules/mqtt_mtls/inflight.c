#include "modules/mqtt_mtls/inflight.h"

#include <stdlib.h>

#define FIRST_SIZE 16u
#define LAST_SIZE  65536u

static bool
grow(struct sp_mqtt_inflight *f)
{
    uint32_t  size = f->size == 0 ? FIRST_SIZE : f->size * 2;
    uint16_t *ids = calloc(size, sizeof(*ids));

    if (ids == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < f->size; i++) {
        if (f->ids[i] != 0) {
            ids[f->ids[i] & (size - 1)] = f->ids[i]; /* apart before, so apart now */
        }
    }
    free(f->ids);
    f->ids = ids;
    f->size = size;
    return true;
}

uint16_t
sp_mqtt_inflight_take(struct sp_mqtt_inflight *f)
{
    uint16_t id = f->last;

    if (f->count * 2 >= f->size && f->size < LAST_SIZE && !grow(f)) {
        return 0;
    }
    if (f->count >= UINT16_MAX) {
        return 0;
    }
    do {
        id = (uint16_t)(id == UINT16_MAX ? 1 : id + 1);
    } while (f->ids[id & (f->size - 1)] != 0);
    f->ids[id & (f->size - 1)] = id;
    f->last = id;
    f->count++;
    return id;
}

bool
sp_mqtt_inflight_give(struct sp_mqtt_inflight *f, uint16_t id)
{
    if (f->size == 0 || id == 0 || f->ids[id & (f->size - 1)] != id) {
        return false;
    }
    f->ids[id & (f->size - 1)] = 0;
    f->count--;
    return true;
}

void
sp_mqtt_inflight_free(struct sp_mqtt_inflight *f)
{
    free(f->ids);
    *f = (struct sp_mqtt_inflight){0};
}
