/* SPDX-License-Identifier: MIT
 * Bodies of requests to the APIs, and the text filter. The first byte picks the API. A body that is taken is played through: its prompt is
 * rendered, its stop strings search the body's own bytes, and the answer must be valid JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_json(const uint8_t *text, size_t len) {
    yyjson_doc *doc = NULL;
    if (json_parse((const char *)text, len, &doc, NULL) != ERR_OK) abort();
    yyjson_doc_free(doc);
}

/* Every "data: " line but [DONE] is JSON. */
static void must_be_events(struct buf *out) {
    char *at = (char *)(uintptr_t)buf_cstr(out), *end = at + out->len;
    while (at < end) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) abort();
        size_t len = (size_t)(line_end - at);
        if (len > 0) {
            if (len < 6 || memcmp(at, "data: ", 6) != 0) abort();
            if (!(len == 12 && memcmp(at, "data: [DONE]", 12) == 0)) must_be_json((uint8_t *)at + 6, len - 6);
        }
        at = line_end + 1;
    }
}

static void play(const struct api *api, struct api_request *r, const uint8_t *data, size_t size) {
    struct api_choice_text choice = {0};
    struct api_answer a = {.request = r, .id = "id", .model = r->model, .fingerprint = "f", .choices = &choice, .n_choices = 1};
    struct api_top top = {(const char *)data, size < 5 ? size : 5, -1};
    struct api_token token = {.piece = (const char *)data, .len = size < 9 ? size : 9, .logprob = -0.5f, .n_top = 1, .top = &top};
    struct text_filter f;
    struct buf out;
    buf_init(&a.prefix, 4096);
    buf_init(&choice.text, 1 << 24);
    buf_init(&out, 1 << 26);
    text_filter_init(&f, r->stops, r->n_stops);
    struct api_event ev = {.kind = API_BEGIN};
    api->stream(&a, &ev, &out);
    for (size_t at = 0, n; at < size; at += n) {
        n = 1 + data[at] % 7;
        if (n > size - at) n = size - at;
        size_t before = choice.text.len;
        bool stopped = text_filter_push(&f, (const char *)data + at, n, &choice.text);
        if (choice.text.len > before) {
            ev = (struct api_event){.kind = API_TEXT,
                                    .text = (char *)choice.text.data + before,
                                    .len = choice.text.len - before,
                                    .start = before,
                                    .tokens = &token,
                                    .n_tokens = 1};
            api->stream(&a, &ev, &out);
        }
        if (stopped) break;
    }
    text_filter_finish(&f, &choice.text);
    ev = (struct api_event){.kind = API_FINISH, .text = ""};
    api->stream(&a, &ev, &out);
    ev.kind = API_END;
    api->stream(&a, &ev, &out);
    must_be_events(&out);
    buf_clear(&out);
    choice.tokens = &token;
    choice.n_tokens = 1;
    api->whole(&a, &out);
    must_be_json(out.data, out.len);
    text_filter_done(&f);
    buf_done(&out);
    buf_done(&choice.text);
    buf_done(&a.prefix);
}

/* The APIs of items: the request is taken as it is; the answer to it is JSON. */
static void play_items(const struct api *api, struct api_request *r) {
    static const struct api_event story[] = {{.kind = API_TEXT, .text = "a", .len = 1},
                                             {.kind = API_CALL, .text = "f", .len = 1, .id = "c"},
                                             {.kind = API_ARGUMENTS, .text = "{}", .len = 2}};
    struct api_choice_text choice;
    struct err e = {0};
    struct buf out;
    struct api_answer a = {.request = r, .id = "resp_1", .model = "m", .fingerprint = "f", .choices = &choice, .n_choices = 1};
    if (api->resume != NULL && api->resume(NULL, r, &e) != ERR_OK) abort();
    api_choice_init(&choice);
    buf_init(&out, 1 << 26);
    for (size_t i = 0; i < ARRAY_LEN(story); i++) api_choice_collect(&choice, &story[i]);
    api->whole(&a, &out);
    must_be_json(out.data, out.len);
    buf_done(&out);
    api_choice_done(&choice);
}

/* The APIs without text: a vector for each prompt, a token with its bytes; the answer is JSON. */
static void play_numbers(const struct api *api, struct api_request *r) {
    struct buf out;
    struct api_answer a = {.request = r, .id = "embd_1", .model = "m", .fingerprint = "f", .n_vector = 3};
    a.tokens = (struct api_tokens){.ids = (int32_t[]){7}, .bytes = (char[]){"\xE2x"}, .ends = (uint32_t[]){2}, .n = 1};
    a.vectors = mem_calloc(r->n_prompts, sizeof(*a.vectors));
    for (size_t i = 0; i < r->n_prompts; i++) a.vectors[i] = mem_calloc(a.n_vector, sizeof(**a.vectors));
    buf_init(&out, 1 << 26);
    api->whole(&a, &out);
    must_be_json(out.data, out.len);
    buf_done(&out);
    for (size_t i = 0; i < r->n_prompts; i++) free(a.vectors[i]);
    free(a.vectors);
}

static const struct api *pick_api(uint8_t byte) {
    static const struct api *const streams[] = {&api_openai_chat, &api_openai_completions};
    static const struct api *const items[] = {&api_anthropic, &api_anthropic_count, &api_ollama_chat, &api_ollama_generate,
                                              &api_openai_responses};
    static const struct api *const numbers[] = {&api_openai_embeddings, &api_ollama_embed, &api_ollama_embeddings, &api_rerank,
                                                &api_tokenize,          &api_detokenize};
    if (byte < 128) return streams[byte % ARRAY_LEN(streams)];
    return byte < 224 ? items[byte % ARRAY_LEN(items)] : numbers[byte % ARRAY_LEN(numbers)];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    const struct api *api = pick_api(data[0]);
    struct api_request r;
    struct err e = {0};
    yyjson_doc *doc = NULL;
    api_request_init(&r);
    err_code code = json_parse((const char *)data + 1, size - 1, &doc, &e);
    if (code == ERR_OK) code = api->parse(yyjson_doc_get_root(doc), &r, &e);
    yyjson_doc_free(doc);
    struct buf out;
    buf_init(&out, 1 << 20);
    if (code != ERR_OK) {
        if (e.text[0] == '\0') abort(); /* every error has a text */
        api->error(code, &e, "req_1", &out);
        must_be_json(out.data, out.len);
    } else {
        if (api == &api_openai_chat && yyjson_mut_arr_size(r.chat) == 0) abort();
        if (data[0] < 128) play(api, &r, data, size);
        else if (data[0] >= 224) play_numbers(api, &r);
        else play_items(api, &r);
    }
    buf_done(&out);
    api_request_done(&r);
    return 0;
}
