/* SPDX-License-Identifier: MIT
 * See ask.h. */
#include "cloud/ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cloud/ask_priv.h"

/* A picture that is named by its address has no size here. TEMPLATE_TOKENS: what an upstream may add to a prompt. */
enum { IMAGE_TOKENS = 4096, TEMPLATE_TOKENS = 1024 };

/* ---- which form ---- */

/* field: of the request; NULL: it is about the whole. */
static err_code unsupported(struct err *e, const struct upstream *u, const char *field, const char *what) {
    err_set(e, ERR_UNSUPPORTED, "%s cannot be had from the upstream \"%s\" (%s)", what, u->name, upstream_api_name(u->api));
    if (field != NULL) err_in_field(e, field);
    return ERR_UNSUPPORTED;
}

static err_code form_of(const struct api *api, const struct api_request *r, const struct upstream *u, struct cloud_ask *ask,
                        struct err *e) {
    bool openai = u->api == UPSTREAM_OPENAI, chat = yyjson_mut_arr_size(r->chat) > 0;
    if (api->work == API_WORK_VECTORS) {
        if (r->query != NULL) return unsupported(e, u, NULL, "a ranking");
        if (!openai) return unsupported(e, u, NULL, "vectors");
        *ask = (struct cloud_ask){.path = "/embeddings", .form = CLOUD_EMBEDDINGS, .n_choices = (uint32_t)r->n_prompts};
        return ERR_OK;
    }
    if (api->work != API_WORK_TEXT) return unsupported(e, u, NULL, "tokens and prompts");
    if (r->logprobs) return unsupported(e, u, "logprobs", "log probabilities");
    if (r->echo) return unsupported(e, u, "echo", "the prompt");
    if (chat && openai) *ask = (struct cloud_ask){.path = "/chat/completions", .form = CLOUD_CHAT, .n_choices = r->n};
    else if (chat) *ask = (struct cloud_ask){.path = "/messages", .form = CLOUD_MESSAGES, .n_choices = r->n};
    else if (openai)
        *ask = (struct cloud_ask){.path = "/completions", .form = CLOUD_COMPLETIONS, .n_choices = (uint32_t)r->n_prompts * r->n};
    else return unsupported(e, u, "prompt", "the continuation of a text");
    if (ask->form == CLOUD_MESSAGES && r->n > 1) return unsupported(e, u, "n", "more than one answer");
    if (ask->n_choices == 0) return err_set(e, ERR_INVALID, "the request has nothing to answer: no prompt and no message");
    return ERR_OK;
}

/* Is the client's API the upstream's own for this? */
static bool is_same(const struct api *api, const struct api_request *r, const struct cloud_ask *ask) {
    static const char *const own[] = {[CLOUD_CHAT] = "openai chat",
                                      [CLOUD_COMPLETIONS] = "openai completions",
                                      [CLOUD_EMBEDDINGS] = "openai embeddings",
                                      [CLOUD_MESSAGES] = "anthropic messages"};
    return ask_sent(r) != NULL && strcmp(api->name, own[ask->form]) == 0;
}

/* A grammar is known to servers of open models alone, and there only by fields of their own, which travel where they can. */
static err_code check_grammar(const struct api_request *r, const struct upstream *u, bool same, struct err *e) {
    if (r->sampling.grammar == NULL || (same && u->api == UPSTREAM_OPENAI)) return ERR_OK;
    return unsupported(e, u, NULL, "an answer in the form of a grammar");
}

/* ---- the body as it came ---- */

/* Fields that speak to this gateway. */
static void drop_own_fields(struct ask_body *b) {
    static const char *const own[] = {"caravan_stats", "keep_alive", "best_of", "background", "stream", "stream_options"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) yyjson_mut_obj_remove_key(b->root, own[i]);
}

/* Puts text before the chat of a body as it came. */
static void add_system(struct ask_body *b, enum cloud_form form, const char *text) {
    yyjson_mut_val *messages = yyjson_mut_obj_get(b->root, "messages"), *old = yyjson_mut_obj_get(b->root, "system");
    yyjson_mut_val *first = yyjson_mut_obj(b->doc), *blocks = yyjson_mut_is_arr(old) ? old : yyjson_mut_arr(b->doc);
    if (form == CLOUD_CHAT) {
        yyjson_mut_obj_add_str(b->doc, first, "role", "system");
        yyjson_mut_obj_add_strcpy(b->doc, first, "content", text);
        yyjson_mut_arr_prepend(messages, first);
    } else if (form == CLOUD_MESSAGES) {
        if (yyjson_mut_is_str(old)) {
            yyjson_mut_val *block = yyjson_mut_arr_add_obj(b->doc, blocks);
            yyjson_mut_obj_add_str(b->doc, block, "type", "text");
            yyjson_mut_obj_add_val(b->doc, block, "text", yyjson_mut_val_mut_copy(b->doc, old));
        }
        yyjson_mut_obj_add_str(b->doc, first, "type", "text");
        yyjson_mut_obj_add_strcpy(b->doc, first, "text", text);
        yyjson_mut_arr_prepend(blocks, first);
        if (blocks != old) yyjson_mut_obj_put(b->root, yyjson_mut_str(b->doc, "system"), blocks);
    }
}

/* The body as it came gets the beginning of the answer; a translated one has it in its chat. Servers of open models are told to go on with
 * it; Anthropic's API does that anyway. */
static void put_begun(struct ask_body *b, enum cloud_form form, bool same) {
    const struct api_request *r = b->r;
    if (same && r->begun != NULL) {
        yyjson_mut_val *message = yyjson_mut_arr_add_obj(b->doc, yyjson_mut_obj_get(b->root, "messages"));
        yyjson_mut_obj_add_str(b->doc, message, "role", "assistant");
        yyjson_mut_obj_add_strncpy(b->doc, message, "content", r->begun, r->begun_len);
    }
    if (form != CLOUD_CHAT || !r->continues || (same && r->begun == NULL)) return;
    yyjson_mut_obj_put(b->root, yyjson_mut_str(b->doc, "continue_final_message"), yyjson_mut_true(b->doc));
    yyjson_mut_obj_put(b->root, yyjson_mut_str(b->doc, "add_generation_prompt"), yyjson_mut_false(b->doc));
}

static void begin_body(struct ask_body *b, bool same) {
    b->doc = yyjson_mut_doc_new(NULL);
    b->root = same ? yyjson_val_mut_copy(b->doc, ask_sent(b->r)) : yyjson_mut_obj(b->doc);
    yyjson_mut_doc_set_root(b->doc, b->root);
    if (same) drop_own_fields(b);
}

static void write_own(struct ask_body *b, enum cloud_form form) {
    static void (*const writers[])(struct ask_body *b) = {[CLOUD_CHAT] = ask_openai_chat,
                                                          [CLOUD_COMPLETIONS] = ask_openai_completions,
                                                          [CLOUD_EMBEDDINGS] = ask_openai_embeddings,
                                                          [CLOUD_MESSAGES] = ask_anthropic_messages};
    writers[form](b);
}

static void put(struct ask_body *b, const char *key, yyjson_mut_val *v) { yyjson_mut_obj_put(b->root, yyjson_mut_strcpy(b->doc, key), v); }

/* The host of OpenAI itself: there newer models know the limit only by its newer name, which elsewhere often nobody knows. */
static const char *limit_field(const struct upstream *u) {
    if (u->max_tokens_field != NULL) return u->max_tokens_field;
    return u->api == UPSTREAM_OPENAI && str_find_nocase(u->url, "://api.openai.com") != NULL ? "max_completion_tokens" : "max_tokens";
}

static void put_limit(struct ask_body *b) {
    static const char *const names[] = {"max_tokens", "max_completion_tokens"};
    if (b->max_tokens < 0) return;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (yyjson_mut_obj_get(b->root, names[i]) != NULL) { /* the client's own name for it */
            put(b, names[i], yyjson_mut_int(b->doc, b->max_tokens));
            return;
        }
    put(b, limit_field(b->upstream), yyjson_mut_int(b->doc, b->max_tokens));
}

/* What must be ours, whatever the client has sent. */
static void put_own(struct ask_body *b, enum cloud_form form, const char *model) {
    put(b, "model", yyjson_mut_strcpy(b->doc, model));
    if (form == CLOUD_EMBEDDINGS) {
        put(b, "encoding_format", yyjson_mut_str(b->doc, "float"));
        return;
    }
    put_limit(b);
    put(b, "stream", yyjson_mut_true(b->doc));
    if (form == CLOUD_MESSAGES) return;
    yyjson_mut_val *options = yyjson_mut_obj(b->doc);
    yyjson_mut_obj_add_bool(b->doc, options, "include_usage", true);
    put(b, "stream_options", options);
}

/* ---- the most that it costs ---- */

/* Pictures and files that are named by an address. */
static size_t count_links(yyjson_mut_val *v) {
    size_t n = 0, i, max;
    yyjson_mut_val *key, *item;
    if (yyjson_mut_is_str(v)) return strncmp(yyjson_mut_get_str(v), "http", 4) == 0;
    if (yyjson_mut_is_arr(v)) yyjson_mut_arr_foreach(v, i, max, item) n += count_links(item);
    if (yyjson_mut_is_obj(v)) yyjson_mut_obj_foreach(v, i, max, key, item) n += count_links(item);
    return n;
}

/* A token is at least one byte of the body. */
static void bound_cost(struct cloud_ask *ask, const struct ask_body *b) {
    ask->most_prompt = (uint64_t)ask->body.len + TEMPLATE_TOKENS + count_links(b->root) * IMAGE_TOKENS;
    if (ask->form == CLOUD_EMBEDDINGS) ask->most_completion = 0;
    else ask->most_completion = b->max_tokens < 0 ? UINT64_MAX : (uint64_t)b->max_tokens * ask->n_choices;
}

err_code cloud_ask_make(const struct api *api, const struct api_request *r, const struct upstream *u, const char *model, const char *system,
                        struct cloud_ask *ret, struct err *e) {
    struct ask_body b = {.r = r, .upstream = u, .max_tokens = r->max_tokens};
    err_code code = form_of(api, r, u, ret, e);
    if (code != ERR_OK) return code;
    bool same = is_same(api, r, ret), needs_limit = u->api == UPSTREAM_ANTHROPIC || upstream_has_cap(u);
    if ((r->only_upstream != NULL || r->n_media > 0) && !same)
        return unsupported(e, u, "messages", "an answer about pictures, sounds or files by another API");
    code = check_grammar(r, u, same, e);
    if (code != ERR_OK) return code;
    if (b.max_tokens < 0 && needs_limit) b.max_tokens = u->max_tokens;
    begin_body(&b, same);
    if (!same) write_own(&b, ret->form);
    else if (system != NULL) add_system(&b, ret->form, system);
    put_begun(&b, ret->form, same);
    put_own(&b, ret->form, model);
    buf_init(&ret->body, SIZE_MAX - 1); /* bounded by the client's body */
    json_write(&ret->body, b.doc);
    bound_cost(ret, &b);
    yyjson_mut_doc_free(b.doc);
    return ERR_OK;
}

void cloud_ask_done(struct cloud_ask *ask) { buf_done(&ask->body); }
