/* SPDX-License-Identifier: MIT
 * See failure.h. */
#include "routing/failure.h"

#include <assert.h>

#include "base/mem.h"

static const struct failure classes[FAILURE_IDS] = {
#define FAILURE_CLASS(id, name, counts, moves, reason) {FAILURE_##id, name, counts, moves, ROUTING_##reason},
#include "../../tables/failures.def"
#undef FAILURE_CLASS
};

#define FAILURE_ERROR(error, id) +1
static_assert(0
#include "../../tables/failures.def"
                  == ERR_COUNT,
              "every error has a row in failures.def");
#undef FAILURE_ERROR

const struct failure *failure_of_error(err_code code) {
    static const enum failure_id ids[ERR_COUNT] = {
#define FAILURE_ERROR(error, id) [ERR_##error] = FAILURE_##id,
#include "../../tables/failures.def"
#undef FAILURE_ERROR
    };
    return &classes[code < ERR_COUNT ? ids[code] : FAILURE_BROKEN];
}

const struct failure *failure_of_status(int status) {
    static const struct {
        int first, last;
        enum failure_id id;
    } rows[] = {
#define FAILURE_STATUS(first, last, id) {first, last, FAILURE_##id},
#include "../../tables/failures.def"
#undef FAILURE_STATUS
    };
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(rows) && (status < rows[i].first || status > rows[i].last)) i++;
    return &classes[rows[i].id];
}
