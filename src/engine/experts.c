/* SPDX-License-Identifier: MIT
 * See experts.h. */
#include "engine/experts.h"

void engine_experts_pattern(int32_t n_layers, struct buf *out) {
    buf_append_str(out, "^blk\\.(");
    if (n_layers < 0) buf_append_str(out, "[0-9]+");
    for (int32_t i = 0; i < n_layers; i++) buf_printf(out, "%s%d", i > 0 ? "|" : "", i);
    buf_append_str(out, ")\\.ffn_(up|down|gate|gate_up)_(ch)?exps\\.");
}
