/* SPDX-License-Identifier: MIT
 * See record.h. */
#include "members/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/hash.h"

static const char *const RECORD_PHASES[STAGE_PHASE_COUNT] = {"loading", "connecting", "ready", "draining"};
#define MESSAGES_RECORD
#include "base/field_tables.h"
#undef MESSAGES_RECORD

void record_done(struct record *r) { field_done(record_fields(), r); }

uint64_t record_memory_for(const struct record *r, const char *instance) {
    uint64_t used = 0;
    for (uint32_t i = 0; i < r->n_stages; i++)
        if (strcmp(r->stages[i].instance, instance) != 0) used += r->stages[i].bytes;
    return used < r->memory ? r->memory - used : 0;
}

void record_encode(const struct record *r, struct buf *out) { field_encode(record_fields(), r, out); }

err_code record_decode(const uint8_t *data, size_t len, struct record *ret, struct err *e) {
    err_code code = field_decode(record_fields(), data, len, ret, e);
    for (uint32_t i = 0; code == ERR_OK && i < ret->n_files; i++)
        if (!model_id_ok(ret->files[i].model)) code = err_set(e, ERR_INVALID, "field \"model\": not a model's id");
    if (code == ERR_OK) return ERR_OK;
    record_done(ret);
    err_prefix(e, "node record");
    return code;
}
