/* SPDX-License-Identifier: MIT
 * Values that describe how a slice is loaded and how a sequence is sampled. Plain visible structs; JSON both ways. Any thread. */
#ifndef CARAVAN_ENGINE_PARAMS_H
#define CARAVAN_ENGINE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/field.h"
#include "base/json.h"
#include "model/adapter.h"

#define ENGINE_MAX_SCALE MODEL_MAX_SCALE
enum { ENGINE_MAX_TOP_LOGPROBS = 20, ENGINE_MAX_LOGIT_BIAS = 1024, ENGINE_MAX_TRIGGERS = 8, ENGINE_MAX_TRIGGER_LEN = 128 };

struct engine_logit_bias {
    int32_t token;
    float bias;
};

/* A lazy grammar: it applies only after the first of these words in the generated text (engine/trigger.h). Strings are owned. */
struct engine_lazy {
    char *triggers[ENGINE_MAX_TRIGGERS];
    size_t n_triggers;              /* 0: the grammar holds from the beginning */
    bool at_start;                  /* a word counts only where the text begins with it */
    char *skip_open, *skip_close;   /* the words do not count between these two; NULL: no such region */
    bool skipping;                  /* the text begins inside such a region */
};

/* How much of an adapter is added to a sequence's layers. */
struct engine_lora {
    uint32_t id; /* in the order in which the model got them */
    float scale;
};

struct engine_sampling {
#define SAMPLING_F                                 float
#define SAMPLING_I                                 int32_t
#define SAMPLING(field, type, min, max, def, help) SAMPLING_##type field;
#include "../../tables/sampling.def"
#undef SAMPLING
#undef SAMPLING_F
#undef SAMPLING_I
    uint64_t seed;                  /* the caller draws a seed if the client gave none, because the journal needs it */
    uint32_t n_top_logprobs;        /* 0 to ENGINE_MAX_TOP_LOGPROBS */
    uint32_t generated_from;        /* position of the first generated token: what the grammar sees begins there. 0: right after the
                                     * first position that is sampled. The head sets it when it replays a request's tokens */
    char *grammar;                  /* GBNF, owned, NULL: none */
    struct engine_lazy lazy;        /* when the grammar begins */
    struct engine_logit_bias *bias; /* owned */
    size_t n_bias;
    bool has_lora;                  /* the adapters are those of the list, and no others; else as the model was loaded */
    uint32_t n_lora;
    struct engine_lora lora[MODEL_MAX_ADAPTERS];
};

void engine_sampling_init(struct engine_sampling *p);  /* the table's defaults, seed 0 */
void engine_sampling_done(struct engine_sampling *p);
/* Reads the fields that are present (names as in the table, plus seed, top_logprobs, generated_from, grammar, grammar_lazy {"triggers",
 * "at_start", "skip": [open, close], "skipping"}, logit_bias {"token": bias}, lora [{"id", "scale"}]); ERR_INVALID names the field. */
err_code engine_sampling_from_json(struct engine_sampling *p, yyjson_val *obj, struct err *e);
/* A new object with every field. */
yyjson_mut_val *engine_sampling_to_json(const struct engine_sampling *p, yyjson_mut_doc *doc);
/* The same two functions in the form that tables of fields call (base/field.h). */
extern const struct field_custom engine_sampling_custom;

void engine_lazy_done(struct engine_lazy *lazy);
void engine_lazy_copy(const struct engine_lazy *from, struct engine_lazy *ret);

/* How a slice is loaded into libllama: struct engine_load. */
#define MESSAGES_LOAD
#include "base/field_structs.h"
#undef MESSAGES_LOAD
void engine_load_init(struct engine_load *p);
/* Values of n_gpu_layers. AUTO is for nodes, which plan with their GPUs; a slice that is loaded with it uses none. */
enum { ENGINE_GPU_ALL = -1, ENGINE_GPU_AUTO = -2 };
/* Of n_cpu_moe alike: a slice that is loaded with AUTO keeps no experts apart. */
enum { ENGINE_MOE_ALL = -1, ENGINE_MOE_AUTO = -2 };
/* Does the slice go to GPUs, in part or whole? */
bool engine_load_has_gpu(const struct engine_load *p);
/* Replaces a 0 in n_batch, n_ubatch and n_outputs by the default: of n_ubatch ENGINE_STEP on a CPU (engine/measure.h). */
uint32_t engine_load_batch(const struct engine_load *p);
uint32_t engine_load_ubatch(const struct engine_load *p);
uint32_t engine_load_outputs(const struct engine_load *p);

#endif
