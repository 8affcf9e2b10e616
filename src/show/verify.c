/* SPDX-License-Identifier: MIT
 * `caravan verify`: runs the whole model in one stage process and the cut one in several, over real ring links, on the same batches (a
 * prompt in chunks, then tokens one by one, as the whole model would greedily choose them), and compares every logit. Where the model
 * guesses with its own layers, the slices also write the text, and have to make the same guesses. Exit status: 0 identical,
 * 2 close (all first choices equal, largest difference under 1e-2), 1 differs or fails, 3 runs whole only. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "model/card.h"
#include "show/split.h"
#include "terminal/bar.h"
#include "wire/frame.h"

enum { MAX_WHY = 400 };
enum { PROMPT = 48 /* tokens, if --prompt-tokens says nothing */ };
enum { CHUNK = 16 }; /* prompt tokens in a batch: a multiple of 4, so that every chunk is of one class (docs/ARCHITECTURE.md, "Prefixes") */
enum { GUESSES = 2 }; /* with a token: such batches have three tokens, one class with a single one */
#define CLOSE_LIMIT 1e-2

/* What a ring has written after the prompt, and the guesses of the model's own layers that travelled meanwhile. */
struct written {
    int32_t *tokens;
    uint32_t n, most;
    uint32_t n_guessed, n_right;
    struct bar *bar;
};

enum verdict { IDENTICAL = 0, DIFFERS = 1, CLOSE = 2, WHOLE_ONLY = 3 };

struct verify {
    uint32_t n_prompt, n_decode, n_vocab;
    int32_t *tokens; /* the prompt, then the tokens that the whole model chose */
    struct written whole, split; /* split: only if the model guesses */
    uint32_t n_tokens;
    FILE *rows; /* the whole model's logits, row after row */
    float *row; /* one of them */
    uint32_t n_rows; /* compared */
    uint32_t n_same_bits, n_same_top;
    double max_diff, sum_square, sum_own; /* own: of the whole model's logits */
    uint64_t n_values;
    bool broken; /* a row was missing or of another shape */
    uint64_t whole_us, split_us;
    struct by {
        char device[sizeof(((struct engine_info *)NULL)->device)];
    } whole_by, slice_by[SPLIT_MAX_STAGES]; /* what computed the whole model, and each slice */
    struct bar bar; /* of each step: generating, the whole model, the slices */
    uint64_t n_seen;
};

static void verify_step(struct verify *v, const char *what, const char *unit) {
    bar_hide(&v->bar);
    bar_init(&v->bar, what, unit);
    v->n_seen = 0;
}

/* Token ids of the prompt: a fixed sequence (splitmix64 of the position), so that two runs compare the same. */
static int32_t prompt_token(uint64_t seed, uint64_t i, uint32_t n_vocab) {
    uint64_t z = (seed << 32) + (i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return (int32_t)((z ^ (z >> 31)) % n_vocab);
}

static uint32_t argmax(const float *row, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

static void note_device(struct by *ret, const struct private_ring *ring, uint32_t stage) {
    memcpy(ret->device, private_ring_info(ring, stage)->device, sizeof(ret->device));
}

/* ---- the whole model ---- */

static void on_generated(void *user, const struct request_event *ev) {
    struct written *w = user;
    if (ev->kind == REQUEST_TOKEN && w->n < w->most) w->tokens[w->n++] = ev->token;
    if (ev->kind == REQUEST_DONE) {
        w->n_guessed = ev->mtp_tokens;
        w->n_right = ev->mtp_accepted;
    }
    bar_show(w->bar, w->n, w->most);
}

/* Continues the prompt greedily. The decode batches are made of the tokens that the whole model writes. */
static err_code verify_generate(struct verify *v, struct private_ring *ring, int32_t *tokens, struct written *ret, struct err *e) {
    struct request r;
    request_init(&r);
    r.tokens = mem_calloc(v->n_prompt, sizeof(*r.tokens));
    memcpy(r.tokens, v->tokens, v->n_prompt * sizeof(*r.tokens));
    r.n_tokens = v->n_prompt;
    r.max_tokens = (int32_t)v->n_decode;
    r.ignore_eos = true;
    r.sampling.temperature = 0;
    *ret = (struct written){.tokens = tokens, .most = v->n_decode, .bar = &v->bar};
    err_code code = private_ring_run(ring, &r, 1, on_generated, ret, e);
    request_done(&r);
    return code;
}

static void on_whole_row(void *user, const struct request_logits *l) {
    struct verify *v = user;
    size_t n = (size_t)l->n_rows * l->n_vocab;
    if (l->n_vocab != v->n_vocab || fwrite(l->rows, 4, n, v->rows) != n) v->broken = true;
    bar_show(&v->bar, v->n_seen += l->n_rows, v->n_tokens);
}

static void verify_batches(const struct verify *v, struct request_eval *ev) {
    request_eval_init(ev);
    ev->id = 1;
    ev->n_tokens = v->n_tokens;
    ev->tokens = mem_calloc(v->n_tokens, sizeof(*ev->tokens));
    memcpy(ev->tokens, v->tokens, v->n_tokens * sizeof(*ev->tokens));
    ev->batches = mem_calloc(v->n_tokens, sizeof(*ev->batches));
    for (uint32_t at = 0; at < v->n_tokens;) {
        uint32_t n = at >= v->n_prompt ? 1 : v->n_prompt - at < CHUNK ? v->n_prompt - at : CHUNK;
        ev->batches[ev->n_batches++] = (struct request_eval_batch){.n_tokens = n, .n_logits = n};
        at += n;
    }
}

static err_code verify_eval(struct verify *v, struct private_ring *ring, private_ring_logits_fn on_row, uint64_t *ret_us, struct err *e) {
    struct request_eval ev;
    verify_batches(v, &ev);
    clock_us start = clock_now();
    err_code code = private_ring_eval(ring, &ev, on_row, v, e);
    *ret_us = clock_now() - start;
    request_eval_done(&ev);
    if (code == ERR_OK && v->broken) code = err_set(e, ERR_IO, "the logits could not be kept");
    return code;
}

static err_code verify_whole(struct verify *v, const struct options *o, const struct split *s, struct err *e) {
    struct private_ring *ring;
    err_code code = split_ring(o, s, true, v->n_prompt + v->n_decode, &ring, e);
    if (code != ERR_OK) {
        err_prefix(e, "the whole model");
        return code;
    }
    v->n_vocab = private_ring_info(ring, 0)->n_vocab;
    note_device(&v->whole_by, ring, 0);
    v->row = mem_calloc(v->n_vocab, sizeof(*v->row));
    int64_t seed = option_int(o, OPT_SEED);
    for (uint32_t i = 0; i < v->n_prompt; i++) v->tokens[i] = prompt_token(seed < 0 ? 0 : (uint64_t)seed, i, v->n_vocab);
    verify_step(v, "the whole model writes", "tokens");
    code = verify_generate(v, ring, v->tokens + v->n_prompt, &v->whole, e);
    v->n_tokens = v->n_prompt + v->whole.n;
    verify_step(v, "the whole model", "positions");
    if (code == ERR_OK) code = verify_eval(v, ring, on_whole_row, &v->whole_us, e);
    private_ring_stop(ring);
    if (code != ERR_OK) err_prefix(e, "the whole model");
    rewind(v->rows);
    return code;
}

/* ---- the slices ---- */

static void compare_row(struct verify *v, const float *split) {
    bool same = memcmp(v->row, split, v->n_vocab * sizeof(float)) == 0;
    v->n_rows++;
    v->n_same_bits += same;
    v->n_same_top += argmax(v->row, v->n_vocab) == argmax(split, v->n_vocab);
    v->n_values += v->n_vocab;
    for (uint32_t i = 0; i < v->n_vocab; i++) v->sum_own += (double)v->row[i] * (double)v->row[i];
    for (uint32_t i = 0; i < v->n_vocab && !same; i++) {
        double d = fabs((double)v->row[i] - (double)split[i]);
        if (memcmp(&v->row[i], &split[i], 4) == 0) d = 0;
        if (isnan(d)) d = INFINITY;
        if (d > v->max_diff) v->max_diff = d;
        v->sum_square += d * d;
    }
}

static void on_split_row(void *user, const struct request_logits *l) {
    struct verify *v = user;
    if (l->n_vocab != v->n_vocab) v->broken = true;
    float *split = mem_calloc(v->n_vocab, sizeof(*split));
    for (uint32_t i = 0; i < l->n_rows && !v->broken; i++) {
        if (fread(v->row, 4, v->n_vocab, v->rows) != v->n_vocab) v->broken = true;
        memcpy(split, l->rows + (size_t)i * v->n_vocab * 4, (size_t)v->n_vocab * 4);
        compare_row(v, split);
    }
    bar_show(&v->bar, v->n_rows, v->n_tokens);
    free(split);
}

/* The same guesses give the same text in frames of the same shapes, and as many of them come true. */
static err_code verify_guesses(struct verify *v, struct private_ring *ring, struct err *e) {
    verify_step(v, "the slices write", "tokens");
    return verify_generate(v, ring, mem_calloc(v->n_decode, sizeof(*v->split.tokens)), &v->split, e);
}

static err_code verify_slices(struct verify *v, const struct options *o, const struct split *s, struct err *e) {
    struct private_ring *ring;
    err_code code = split_ring(o, s, false, v->n_prompt + v->n_decode, &ring, e);
    if (code == ERR_OK) {
        for (uint32_t i = 0; i < s->n_stage; i++) note_device(&v->slice_by[i], ring, i);
        verify_step(v, "the slices", "positions");
        code = verify_eval(v, ring, on_split_row, &v->split_us, e);
        if (code == ERR_OK && s->n_guess > 0) code = verify_guesses(v, ring, e);
        private_ring_stop(ring);
    }
    if (code != ERR_OK) err_prefix(e, "the model in %u slices", s->n_stage);
    return code;
}

/* ---- the verdict ---- */

static bool same_guesses(const struct verify *v) {
    const struct written *a = &v->whole, *b = &v->split;
    if (b->tokens == NULL) return true;
    return a->n == b->n && memcmp(a->tokens, b->tokens, a->n * sizeof(*a->tokens)) == 0 && a->n_guessed == b->n_guessed &&
           a->n_right == b->n_right;
}

static enum verdict verify_verdict(const struct verify *v) {
    if (v->n_rows != v->n_tokens || v->n_rows == 0) return DIFFERS;
    if (v->n_same_bits == v->n_rows) return same_guesses(v) ? IDENTICAL : DIFFERS;
    return v->n_same_top == v->n_rows && v->max_diff < CLOSE_LIMIT ? CLOSE : DIFFERS;
}

static const char *verdict_name(enum verdict d) {
    static const char *const names[] = {"identical", "differs", "close", "whole only"};
    return names[d];
}

/* The first slice that something else computed than the whole model; n_stage: there is none. */
static uint32_t first_other(const struct verify *v, const struct split *s) {
    uint32_t i = 0;
    while (i < s->n_stage && strcmp(v->slice_by[i].device, v->whole_by.device) == 0) i++;
    return i;
}

static bool is_cpu(const struct by *by) { return strncmp(by->device, "CPU", 3) == 0; }

/* Why what computed the slices could not give the bits of the whole model (docs/HARDWARE.md); "": nothing of that kind. */
static void why_not_identical(const struct verify *v, const struct split *s, enum verdict d, char *ret, size_t size) {
    struct model_card card;
    uint32_t other = first_other(v, s);
    ret[0] = '\0';
    if (d == IDENTICAL) return;
    if (other == s->n_stage) {
        if (!is_cpu(&v->whole_by) && s->n_stage > 1)
            snprintf(ret, size, "a GPU's backend joins operations, and joins them otherwise where a slice ends");
        return;
    }
    model_card_make(s->gguf, &card);
    bool full = strcasecmp(card.quant, "f32") == 0 || strcasecmp(card.quant, "f16") == 0;
    int n =
        snprintf(ret, size, "%s and %s add in different orders, so the last bits differ", v->whole_by.device, v->slice_by[other].device);
    if (!full && n > 0 && (size_t)n < size)
        snprintf(ret + n, size - (size_t)n,
                 "; with %s weights the input of each product is rounded to few bits, and values near a border fall to its other side: "
                 "only machines that all compute alike are identical",
                 card.quant);
}

static void print_json(const char *path, const struct split *s, const struct verify *v, enum verdict d, const char *reason,
                       const char *wire) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "model", path);
    yyjson_mut_obj_add_str(doc, root, "verdict", verdict_name(d));
    if (reason) yyjson_mut_obj_add_str(doc, root, "reason", reason);
    if (s->layout) yyjson_mut_obj_add_str(doc, root, "architecture", s->layout->arch);
    if (s->quirk[0]) yyjson_mut_obj_add_str(doc, root, "row", s->quirk);
    yyjson_mut_obj_add_str(doc, root, "wire_type", wire);
    yyjson_mut_val *slices = yyjson_mut_obj_add_arr(doc, root, "slices");
    for (uint32_t i = 0; i < s->n_stage; i++) yyjson_mut_arr_add_uint(doc, slices, s->bounds[i + 1] - s->bounds[i]);
    if (v->n_rows > 0) {
        char why[MAX_WHY];
        yyjson_mut_obj_add_str(doc, root, "whole_by", v->whole_by.device);
        yyjson_mut_val *by = yyjson_mut_obj_add_arr(doc, root, "slices_by");
        for (uint32_t i = 0; i < s->n_stage; i++) yyjson_mut_arr_add_str(doc, by, v->slice_by[i].device);
        why_not_identical(v, s, d, why, sizeof(why));
        if (why[0]) yyjson_mut_obj_add_strcpy(doc, root, "why_not_identical", why);
        yyjson_mut_obj_add_uint(doc, root, "positions", v->n_rows);
        yyjson_mut_obj_add_uint(doc, root, "vocabulary", v->n_vocab);
        yyjson_mut_obj_add_uint(doc, root, "identical_positions", v->n_same_bits);
        yyjson_mut_obj_add_uint(doc, root, "same_first_choice", v->n_same_top);
        yyjson_mut_obj_add_real(doc, root, "largest_difference", isfinite(v->max_diff) ? v->max_diff : 1e308);
        yyjson_mut_obj_add_real(doc, root, "rms_difference", isfinite(v->sum_square) ? sqrt(v->sum_square / (double)v->n_values) : 1e308);
        if (s->n_guess > 0) {
            yyjson_mut_obj_add_uint(doc, root, "whole_guesses", v->whole.n_guessed);
            yyjson_mut_obj_add_uint(doc, root, "whole_guesses_right", v->whole.n_right);
            yyjson_mut_obj_add_uint(doc, root, "split_guesses", v->split.n_guessed);
            yyjson_mut_obj_add_uint(doc, root, "split_guesses_right", v->split.n_right);
        }
        yyjson_mut_obj_add_real(doc, root, "whole_ms", (double)v->whole_us / 1000);
        yyjson_mut_obj_add_real(doc, root, "split_ms", (double)v->split_us / 1000);
    }
    struct buf text;
    buf_init(&text, SIZE_MAX);
    json_write(&text, doc);
    puts(buf_cstr(&text));
    buf_done(&text);
    yyjson_mut_doc_free(doc);
}

static double rms(double sum_square, uint64_t n) { return n ? sqrt(sum_square / (double)n) : 0; }

static void print_devices(const struct split *s, const struct verify *v) {
    if (first_other(v, s) == s->n_stage) {
        printf("  all computed by %s\n", v->whole_by.device);
        return;
    }
    printf("  the whole model computed by %s, the slices by", v->whole_by.device);
    for (uint32_t i = 0; i < s->n_stage; i++) printf("%s %s", i ? "," : "", v->slice_by[i].device);
    printf("\n");
}

static void print_text(const char *path, const struct split *s, const struct verify *v, enum verdict d, const char *wire) {
    char why[MAX_WHY];
    printf("%s (%s, %u layers) in %u slice%s of", path, s->layout->arch, s->layout->n_layer, s->n_stage, s->n_stage == 1 ? "" : "s");
    for (uint32_t i = 0; i < s->n_stage; i++) printf("%s %u", i ? "," : "", s->bounds[i + 1] - s->bounds[i]);
    printf(" layers: %s\n", verdict_name(d));
    if (s->quirk[0]) printf("  by the row found by probing: %s\n", s->quirk);
    if (strcmp(wire, "f32") != 0) printf("  hidden states between slices as %s, which is expected to differ; how much shows below\n", wire);
    print_devices(s, v);
    printf("  %u positions (%u of a prompt in chunks of %d, %u decoded one by one), %u logits each\n", v->n_rows, v->n_prompt, CHUNK,
           v->n_decode, v->n_vocab);
    printf("  bit-identical positions %u of %u, largest difference %.3g, root mean square %.3g (logits' own: %.3g), same first choice %u "
           "of %u\n",
           v->n_same_bits, v->n_rows, v->max_diff, rms(v->sum_square, v->n_values), rms(v->sum_own, v->n_values), v->n_same_top, v->n_rows);
    if (s->n_guess > 0)
        printf("  guesses of the model's own layer: %u in the whole model, %u of them right; %u in the slices, %u right%s\n",
               v->whole.n_guessed, v->whole.n_right, v->split.n_guessed, v->split.n_right, same_guesses(v) ? "" : "; they differ");
    why_not_identical(v, s, d, why, sizeof(why));
    if (why[0]) printf("  why not identical: %s\n", why);
}

static err_code verify_run(struct verify *v, const struct options *o, struct split *s, struct err *e) {
    s->n_guess = model_layout_guesses(s->layout, GUESSES) ? GUESSES : 0;
    v->n_prompt = (uint32_t)option_int(o, OPT_PROMPT_TOKENS);
    if (v->n_prompt == 0) v->n_prompt = PROMPT;
    v->n_decode = (uint32_t)option_int(o, OPT_TOKENS);
    v->tokens = mem_calloc((size_t)v->n_prompt + v->n_decode, sizeof(*v->tokens));
    v->rows = tmpfile();
    if (!v->rows) return err_set(e, ERR_IO, "cannot make a temporary file for the logits");
    err_code code = verify_whole(v, o, s, e);
    if (code == ERR_OK) code = verify_slices(v, o, s, e);
    bar_hide(&v->bar);
    return code;
}

err_code cli_verify(const struct options *o, int *exit_status, struct err *e) {
    const char *path = option_argument(o, 0);
    bool json = option_flag(o, OPT_JSON);
    struct split s = {0};
    struct verify v = {0};
    struct err why = {0};
    err_code code = split_open(o, path, &s, &why);
    enum verdict d = WHOLE_ONLY;
    if (code == ERR_OK) {
        code = verify_run(&v, o, &s, &why);
        d = code == ERR_OK ? verify_verdict(&v) : DIFFERS;
    }
    if (json && (code == ERR_OK || code == ERR_WHOLE_ONLY || s.gguf)) {
        print_json(path, &s, &v, d, code == ERR_OK ? NULL : why.text, frame_dtype_name(cli_dtype(o, NULL)));
        *exit_status = d;
        code = ERR_OK;
    } else if (code == ERR_OK) {
        print_text(path, &s, &v, d, frame_dtype_name(cli_dtype(o, NULL)));
        *exit_status = d;
    } else if (e) {
        *e = why;
    }
    if (v.rows) fclose(v.rows);
    free(v.row);
    free(v.tokens);
    free(v.split.tokens);
    split_done(&s);
    return code;
}
