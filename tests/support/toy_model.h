/* SPDX-License-Identifier: MIT
 * A model for tests of the coordinator: 8 layers of 10 bytes, which may be cut anywhere. Included once. */
#ifndef CARAVAN_TESTS_TOY_MODEL_H
#define CARAVAN_TESTS_TOY_MODEL_H

#include "plan/plan.h"

static uint64_t toy_need(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return (uint64_t)(end - first) * 10;
}
static bool toy_may(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return first < end;
}
static const struct plan_model toy = {.name = "toy", .n_layer = 8, .may = toy_may, .need = toy_need};

#endif
