/* SPDX-License-Identifier: MIT
 * See answer.h. */
#include "cli/answer.h"

#include <string.h>

#include "base/str.h"
#include "model/card.h"

const char *answer_text(yyjson_val *object, const char *key) {
    const char *s = yyjson_get_str(yyjson_obj_get(object, key));
    return s ? s : "";
}

uint64_t answer_number(yyjson_val *object, const char *key) { return yyjson_get_uint(yyjson_obj_get(object, key)); }

static bool is_state(yyjson_val *object, const char *state) { return strcmp(answer_text(object, "state"), state) == 0; }

yyjson_val *answer_find_model(yyjson_val *root, const char *name) {
    yyjson_val *m, *best = NULL;
    size_t i, max;
    enum model_fit fit = MODEL_FIT_NONE;
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "models")), i, max, m) {
        enum model_fit f = model_card_fit(name, answer_text(m, "name"));
        if (f <= fit) continue;
        best = m;
        fit = f;
    }
    return best;
}

/* The copy that comes first: one that loads before one that waits or has failed. NULL: there is none. */
static yyjson_val *first_copy(yyjson_val *model) {
    yyjson_val *in, *best = NULL;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_obj_get(model, "instances")), i, max,
                       in) if (!best || (is_state(in, "loading") && !is_state(best, "loading"))) best = in;
    return best;
}

/* ", 1 of 2 copies" and " on a, b". */
static void put_copies(yyjson_val *model, struct buf *out) {
    yyjson_val *in, *stage, *instances = yyjson_obj_get(model, "instances");
    size_t i, max, k, n, ready = 0, count = yyjson_arr_size(instances);
    bool first = true;
    yyjson_arr_foreach(json_some(instances), i, max, in) ready += is_state(in, "ready");
    if (count > 1) buf_printf(out, ", %zu of %zu copies", ready, count);
    yyjson_arr_foreach(json_some(instances), i, max, in) {
        yyjson_arr_foreach(json_some(yyjson_obj_get(in, "stages")), k, n, stage) {
            buf_printf(out, "%s%s", first ? " on " : ", ", answer_text(stage, "node"));
            first = false;
        }
    }
}

bool answer_is_loaded(yyjson_val *model) { return !is_state(model, "not loaded") && !is_state(model, "failed"); }

void answer_put_state(yyjson_val *model, int64_t wall, struct buf *out) {
    yyjson_val *copy = first_copy(model), *in;
    size_t i, max;
    uint64_t since = 0;
    char ago[STR_SHORT];
    yyjson_arr_foreach(json_some(yyjson_obj_get(model, "instances")), i, max, in) if (since == 0 || answer_number(in, "since") < since)
        since = answer_number(in, "since");
    buf_append_str(out, answer_text(model, "state"));
    if (is_state(model, "loading")) buf_printf(out, " %llu %%", (unsigned long long)answer_number(copy, "progress"));
    if (is_state(model, "ready") && wall > (int64_t)since)
        buf_printf(out, " for %s", str_duration((uint64_t)(wall - (int64_t)since) * 1000000, ago));
    put_copies(model, out);
}

const char *answer_reason(yyjson_val *model) { return is_state(model, "ready") ? "" : answer_text(first_copy(model), "message"); }

void answer_put_progress(yyjson_val *stage, struct buf *out) {
    char done[STR_SHORT], all[STR_SHORT], rate[STR_SHORT], left[STR_SHORT];
    uint64_t to_fetch = answer_number(stage, "to_fetch"), fetched = answer_number(stage, "fetched");
    buf_printf(out, " %llu %%", (unsigned long long)answer_number(stage, "progress"));
    if (to_fetch == 0 || fetched >= to_fetch) return;
    buf_printf(out, " (%s of %s", str_size(fetched, done), str_size(to_fetch, all));
    if (yyjson_obj_get(stage, "seconds_left"))
        buf_printf(out, ", %s/s, %s left", str_size(answer_number(stage, "fetch_rate"), rate),
                   str_duration(answer_number(stage, "seconds_left") * 1000000, left));
    buf_append_str(out, ")");
}

void answer_put_loading(yyjson_val *model, struct buf *out) {
    yyjson_val *copy = first_copy(model), *stage, *slowest = NULL;
    size_t i, max;
    const char *name = answer_text(model, "name");
    if (!copy || is_state(copy, "waiting") || is_state(copy, "failed")) {
        const char *why = answer_text(copy, "message");
        buf_printf(out, "waiting for %s%s%s", name, why[0] ? ": " : "", why);
        return;
    }
    yyjson_arr_foreach(json_some(yyjson_obj_get(copy, "stages")), i, max,
                       stage) if (!slowest || answer_number(stage, "progress") < answer_number(slowest, "progress")) slowest = stage;
    buf_printf(out, "loading %s", name);
    if (max > 1)
        buf_printf(out, " %llu %% in %zu slices; the slowest, on %s:", (unsigned long long)answer_number(copy, "progress"), max,
                   answer_text(slowest, "node"));
    if (slowest) answer_put_progress(slowest, out);
}

err_code answer_failure(yyjson_val *model, struct err *e) {
    yyjson_val *in, *failed = NULL;
    size_t i, max;
    if (!is_state(model, "failed")) return ERR_OK;
    yyjson_arr_foreach(json_some(yyjson_obj_get(model, "instances")), i, max, in) failed = in;
    const char *why = answer_text(failed, "message"), *name = answer_text(failed, "error");
    err_code code = name[0] ? err_from_name(name) : ERR_UNAVAILABLE;
    if (code == ERR_OK) code = ERR_UNAVAILABLE;
    return err_set(e, code, "cannot load \"%s\": %s", answer_text(model, "name"), why[0] ? why : err_text(code));
}
