/* SPDX-License-Identifier: MIT
 * Pictures and sounds, in the first slice: libmtmd decodes their files, and makes rows of them with the projector of the model. Everything
 * here but opening and closing may run in a second thread, beside the computing of batches: libmtmd only reads the text model. */
#include <mtmd-helper.h>
#include <mtmd.h>
#include <string.h>

#include "base/mem.h"
#include "base/pulse.h"
#include "engine/media_file.h"
#include "engine/runtime.h"
#include "engine/slice.h"
#include "engine/slice_priv.h"
#include "os/machine.h"

/* ggml asks about each operation, and stops behind those of which it is told to; then the watch learns that encoding makes progress. */
static bool on_encoding(struct ggml_tensor *t, bool ask, void *user) {
    enum { STRIDE = 32 };
    (void)t;
    unsigned *n = user;
    if (ask) return ++*n % STRIDE == 0;
    pulse_step_done();
    return true;
}

static const char *complaint(void) {
    const char *why = engine_runtime_complaint();
    return *why != '\0' ? why : "libmtmd gives no reason";
}

/* Adds what the model's first layers would have to add to rows of pictures: are these layers here? */
static err_code check_layers(const struct slice *s, struct err *e) {
    uint32_t width = (uint32_t)llama_model_n_embd_inp(s->model), n = (uint32_t)llama_model_n_embd(s->model);
    if (width % n != 0 || s->what.end - s->what.first >= width / n - 1) return ERR_OK;
    err_set(e, ERR_UNSUPPORTED, "pictures reach into the first %u layers of this model, and the first slice has %u", width / n - 1,
            s->what.end - s->what.first);
    err_hint(e, "load it in fewer slices, or with more layers in the first one");
    return ERR_UNSUPPORTED;
}

static err_code open_projector(struct slice *s, const struct engine_load *load, const char *path, struct err *e) {
    err_code code = check_layers(s, e);
    if (code != ERR_OK) return code;
    struct mtmd_context_params params = mtmd_context_params_default();
    params.use_gpu = load->n_gpu_layers != 0;
    params.print_timings = false;
    params.warmup = false;
    params.n_threads = (int)(load->n_threads > 0 ? load->n_threads : machine_threads());
    params.cb_eval = on_encoding;
    params.cb_eval_user_data = &s->media.n_asked;
    engine_runtime_clear();
    s->media.ctx = mtmd_init_from_file(path, s->model, params);
    if (s->media.ctx == NULL) {
        err_set(e, ERR_ENGINE, "cannot load the projector \"%s\": %s", path, complaint());
        err_hint(e, "it has to be made for this very model");
        return ERR_ENGINE;
    }
    s->info.sees = mtmd_support_vision(s->media.ctx);
    s->info.hears = mtmd_support_audio(s->media.ctx);
    s->info.n_row = (uint32_t)llama_model_n_embd_inp(s->model);
    return ERR_OK;
}

void slice_media_close(struct slice *s) {
    if (s->media.ctx != NULL) mtmd_free(s->media.ctx);
}

/* ---- one file ---- */

static err_code read_file(struct slice *s, const uint8_t *data, size_t len, mtmd_bitmap **ret, struct err *e) {
    enum media_kind kind;
    err_code code = media_file_check(data, len, &kind, e);
    if (code != ERR_OK) return code;
    bool can = kind == MEDIA_PICTURE ? s->info.sees : s->info.hears;
    if (!can) {
        err_set(e, ERR_UNSUPPORTED, "the model's projector takes no %s", kind == MEDIA_PICTURE ? "pictures" : "sounds");
        err_hint(e, "it takes %s", kind == MEDIA_PICTURE ? "sounds" : "pictures");
        return ERR_UNSUPPORTED;
    }
    struct mtmd_helper_init_opt options = mtmd_helper_init_opt_default();
    options.video_params.ffmpeg_bin_dir = "/dev/null"; /* what is no picture is not given to a program that PATH may hold */
    struct mtmd_helper_bitmap_wrapper read = mtmd_helper_bitmap_init_from_buf(s->media.ctx, data, len, false, options);
    if (read.video_ctx != NULL) mtmd_helper_video_free(read.video_ctx); /* no video passes the check */
    if (read.bitmap == NULL) return err_set(e, ERR_INVALID, "the file of the %s is broken", kind == MEDIA_PICTURE ? "picture" : "sound");
    *ret = read.bitmap;
    return ERR_OK;
}

/* Where the rows of a picture stand among M-RoPE's axes, relative to its first one. ERR_UNSUPPORTED: not in one plane. */
static err_code place_rows(const struct slice *s, const mtmd_input_chunk *chunk, struct engine_rows *rows, struct err *e) {
    const mtmd_image_tokens *image = mtmd_input_chunk_get_tokens_image(chunk);
    int32_t most = 0;
    for (uint32_t i = 0; i < rows->n; i++) {
        rows->places[i] = s->n_pos == 4 && i > 0 ? ENGINE_PLACE_LINE | (int32_t)i : (int32_t)i;
        if (s->n_pos == 1 || image == NULL) continue;
        struct mtmd_decoder_pos at = mtmd_image_tokens_get_decoder_pos(image, 0, i);
        if (at.t != 0 || at.x > ENGINE_PLACE_MASK || at.y > ENGINE_PLACE_MASK || (i > 0 && at.x == 0 && at.y == 0))
            return err_set(e, ERR_UNSUPPORTED, "the places of this model's pictures are not known here");
        rows->places[i] = (int32_t)(at.y << ENGINE_PLACE_BITS | at.x);
        if ((int32_t)at.x > most) most = (int32_t)at.x;
        if ((int32_t)at.y > most) most = (int32_t)at.y;
    }
    if (s->n_pos == 4 && image != NULL && mtmd_input_chunk_get_n_pos(chunk) != most + 1)
        return err_set(e, ERR_UNSUPPORTED, "the places of this model's pictures are not known here");
    return ERR_OK;
}

static err_code take_rows(struct slice *s, const mtmd_input_chunk *chunk, struct engine_pieces *ret, struct err *e) {
    size_t n = mtmd_input_chunk_get_n_tokens(chunk);
    if (n == 0) return ERR_OK;
    if (n > s->info.n_ctx_seq) {
        err_set(e, ERR_INVALID, "the picture or sound takes %zu tokens, the context has %u", n, s->info.n_ctx_seq);
        err_hint(e, "make it smaller, or load the model with a larger context (--ctx)");
        return ERR_INVALID;
    }
    engine_runtime_clear();
    if (mtmd_encode_chunk(s->media.ctx, chunk) != 0) return err_set(e, ERR_ENGINE, "the projector cannot encode it: %s", complaint());
    struct engine_rows *rows = engine_rows_create((uint32_t)n, s->info.n_row);
    if (rows == NULL) return err_set(e, ERR_MEMORY, "no memory for %zu rows of a picture", n);
    memcpy(rows->values, mtmd_get_output_embd(s->media.ctx), n * s->info.n_row * sizeof(float));
    rows->together = mtmd_decode_use_non_causal(s->media.ctx, chunk);
    engine_pieces_add(ret, (struct engine_piece){.n = n, .rows = rows});
    if (rows->together && n > llama_n_ubatch(s->ctx)) {
        err_set(e, ERR_UNSUPPORTED, "the picture's %zu rows have to be computed at once, and batches have %u", n, llama_n_ubatch(s->ctx));
        err_hint(e, "load the model with --batch %zu --ubatch %zu", n, n);
        return ERR_UNSUPPORTED;
    }
    return place_rows(s, chunk, rows, e);
}

static void take_tokens(const mtmd_input_chunk *chunk, struct engine_pieces *ret) {
    size_t n = 0;
    const llama_token *tokens = mtmd_input_chunk_get_tokens_text(chunk, &n);
    if (n == 0) return;
    int32_t *copy = mem_calloc(n, sizeof(*copy));
    memcpy(copy, tokens, n * sizeof(*copy));
    engine_pieces_add(ret, (struct engine_piece){.n = n, .tokens = copy});
}

static err_code take_chunks(struct slice *s, const mtmd_bitmap *bitmap, mtmd_input_chunks *chunks, struct engine_pieces *ret,
                            struct err *e) {
    const struct mtmd_input_part part = {.bitmap = bitmap}, *parts = &part;
    engine_runtime_clear();
    if (mtmd_tokenize_from_parts(s->media.ctx, chunks, &parts, 1, false) != 0)
        return err_set(e, ERR_INVALID, "the picture or sound cannot be prepared: %s", complaint());
    err_code code = ERR_OK;
    for (size_t i = 0; i < mtmd_input_chunks_size(chunks) && code == ERR_OK; i++) {
        const mtmd_input_chunk *chunk = mtmd_input_chunks_get(chunks, i);
        if (mtmd_input_chunk_get_type(chunk) == MTMD_INPUT_CHUNK_TYPE_TEXT) take_tokens(chunk, ret);
        else code = take_rows(s, chunk, ret, e);
    }
    return code;
}

err_code slice_media(struct slice *s, const uint8_t *data, size_t len, struct engine_pieces *ret, struct err *e) {
    mtmd_bitmap *bitmap = NULL;
    struct engine_pieces pieces = {0};
    if (s->media.ctx == NULL) return err_set(e, ERR_UNSUPPORTED, "the model has no projector for pictures or sounds");
    err_code code = read_file(s, data, len, &bitmap, e);
    if (code != ERR_OK) return code;
    mtmd_input_chunks *chunks = mtmd_input_chunks_init();
    code = take_chunks(s, bitmap, chunks, &pieces, e);
    mtmd_input_chunks_free(chunks);
    mtmd_bitmap_free(bitmap);
    if (code == ERR_OK) *ret = pieces;
    else engine_pieces_done(&pieces);
    return code;
}

err_code engine_slice_add_projector(struct engine *engine, const struct engine_load *load, const char *path, struct err *e) {
    struct slice *s = engine->self;
    if (!s->what.head || s->pool.type != ENGINE_POOL_NONE)
        return err_set(e, ERR_UNSUPPORTED, "only the first slice of a model that writes text takes pictures");
    err_code code = open_projector(s, load, path, e);
    if (code == ERR_OK) engine->info = s->info;
    return code;
}
