/* SPDX-License-Identifier: MIT */
#include "paper/published.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/types.h"
#include "paper/fleet.h"
#include "paper/model.h"
#include "paper/shapes.h"

enum { CONTEXT = 512, UBATCH = 2048 };
enum { WHOLE_PROMPT = 40, WHOLE_ANSWER = 200 };
enum half { FIT, JUDGE, NAMED };

static const struct source {
    enum half half;
    const char *date, *name;
} sources[] = {
#define PUBLISHED_SOURCE(id, half, date, name) {half, date, name},
#define PUBLISHED(source, hardware, model, decode, prefill, prompt)
#define PUBLISHED_WHOLE(source, hardware, model, decode)
#include "../../tables/published.def"
#undef PUBLISHED_SOURCE
#undef PUBLISHED
#undef PUBLISHED_WHOLE
};
enum source_id {
#define PUBLISHED_SOURCE(id, half, date, name) SOURCE_##id,
#define PUBLISHED(source, hardware, model, decode, prefill, prompt)
#define PUBLISHED_WHOLE(source, hardware, model, decode)
#include "../../tables/published.def"
#undef PUBLISHED_SOURCE
#undef PUBLISHED
#undef PUBLISHED_WHOLE
};
static const struct row {
    enum source_id source;
    const char *hardware, *model;
    double decode, prefill;
    uint32_t prompt;
    bool whole;
} rows[] = {
#define PUBLISHED_SOURCE(id, half, date, name)
#define PUBLISHED(source, hardware, model, decode, prefill, prompt) {SOURCE_##source, hardware, model, decode, prefill, prompt, false},
#define PUBLISHED_WHOLE(source, hardware, model, decode)            {SOURCE_##source, hardware, model, decode, 0, WHOLE_PROMPT, true},
#include "../../tables/published.def"
#undef PUBLISHED_SOURCE
#undef PUBLISHED
#undef PUBLISHED_WHOLE
};
static const struct {
    enum published_class class;
    bool moe, prefill;
    struct published_error error;
} errors[] = {
#define PLAN_ERROR(class, moe, prefill, n, p10, median, p90) {PUBLISHED_##class, moe, prefill, {n, p10, median, p90}},
#include "../../tables/plan_errors.def"
#undef PLAN_ERROR
};

const char *published_class_name(enum published_class c) {
    static const char *const names[] = {"Apple's chips", "NVIDIA's", "AMD's", "processors", "all kinds of machines"};
    return names[c];
}

bool published_class_of(const char *family, enum published_class *ret) {
    static const enum published_class classes[] = {
        [HARDWARE_BY_APPLE] = PUBLISHED_APPLE,
        [HARDWARE_BY_NVIDIA] = PUBLISHED_NVIDIA,
        [HARDWARE_BY_AMD] = PUBLISHED_AMD,
        [HARDWARE_BY_CPU] = PUBLISHED_CPU,
        [HARDWARE_BY_INTEL] = PUBLISHED_CLASSES /* nothing was published */
    };
    size_t i = 0;
    while (i < hardware_count() && strcmp(hardware_at(i).family, family) != 0) i++;
    enum published_class c = i < hardware_count() ? classes[hardware_at(i).maker] : PUBLISHED_CLASSES;
    if (c != PUBLISHED_CLASSES) *ret = c;
    return c != PUBLISHED_CLASSES;
}

static bool judges(const struct source *s) { return s->half == NAMED ? str_hash(s->name) % 2 == 1 : s->half == JUDGE; }

size_t published_count(void) { return ARRAY_LEN(rows); }

struct published_row published_at(size_t i) {
    const struct row *r = &rows[i];
    const struct source *s = &sources[r->source];
    return (struct published_row){.hardware = r->hardware,
                                  .model = r->model,
                                  .source = s->name,
                                  .date = s->date,
                                  .judge = judges(s),
                                  .decode = r->decode,
                                  .prefill = r->prefill,
                                  .prompt = r->prompt,
                                  .whole = r->whole};
}

static bool predict(const struct paper_model *m, struct fleet *f, const struct published_row *r, double *ret_decode, double *ret_prefill,
                    bool *ret_moe) {
    const struct plan_model *pm = plan_source_model(m->source);
    struct plan_wish wish = {.streams = 1, .prompt = r->prompt, .link = fleet_link, .link_user = f};
    struct plan_figures g;
    struct plan plan;
    if (plan_make(pm, f->nodes, f->n, &wish, &plan, NULL) != ERR_OK) return false;
    plan_predict(&plan, pm, f->nodes, &wish, &g);
    *ret_decode = r->whole ? WHOLE_ANSWER / (g.first_s + WHOLE_ANSWER * g.token_s) : 1 / g.token_s;
    *ret_prefill = r->prompt / g.first_s;
    *ret_moe = false;
    for (uint32_t i = 0; i < pm->n_layer; i++) *ret_moe = *ret_moe || pm->layers[i].expert > 0;
    return true;
}

bool published_predict(const struct published_row *r, double *ret_decode, double *ret_prefill, bool *ret_moe) {
    struct paper_load load = {.n_ctx = CONTEXT, .n_seq = 1, .n_ubatch = UBATCH, .type_k = MODEL_TYPE_F16, .type_v = MODEL_TYPE_F16};
    struct fleet *f = MEM_NEW(struct fleet);
    struct paper_model m = {0};
    struct model_gguf *gguf;
    bool good = fleet_parse(r->hardware, f, NULL) == ERR_OK && shapes_open(r->model, &gguf, NULL) == ERR_OK &&
                paper_model_open(gguf, r->model, &load, &m, NULL) == ERR_OK && predict(&m, f, r, ret_decode, ret_prefill, ret_moe);
    paper_model_done(&m);
    free(f);
    return good;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Between the two nearest ones. */
static double quantile(const double *sorted, uint32_t n, double q) {
    double at = q * (n - 1);
    uint32_t low = (uint32_t)at, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - floor(at)) * (sorted[high] - sorted[low]);
}

struct published_error published_spread(double *quotients, uint32_t n) {
    if (n == 0) return (struct published_error){0};
    qsort(quotients, n, sizeof(*quotients), by_size);
    return (struct published_error){n, quantile(quotients, n, 0.1), quantile(quotients, n, 0.5), quantile(quotients, n, 0.9)};
}

struct published_error published_error_of(enum published_class c, bool moe, bool prefill) {
    for (size_t i = 0; i < ARRAY_LEN(errors); i++)
        if (errors[i].class == c && errors[i].moe == moe && errors[i].prefill == prefill) return errors[i].error;
    return (struct published_error){0};
}
