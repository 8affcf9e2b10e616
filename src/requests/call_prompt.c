/* SPDX-License-Identifier: MIT
 * How a request becomes a prompt and a grammar: the form that the answer must have, text to be filled in, the chat template, the tools.
 * See call_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "api/parse.h"
#include "base/mem.h"
#include "base/str.h"
#include "chat/toolcall_grammar.h"
#include "grammar/schema.h"
#include "requests/call_prompt.h"

enum { MAX_GRAMMAR = 1 << 20, MAX_SCHEMA = 1 << 20 };

/* ---- the form of the answer ---- */

static err_code schema_grammar(const struct api_request *r, bool *ret_partial, struct buf *out, struct err *e) {
    const struct schema_options options = {.closed = true, .ret_partial = ret_partial};
    yyjson_doc *doc = NULL;
    err_code code = json_parse(r->schema, strlen(r->schema), &doc, e);
    if (code == ERR_OK) code = schema_to_gbnf(yyjson_doc_get_root(doc), &options, out, e);
    yyjson_doc_free(doc);
    return code;
}

static err_code format_grammar(struct api_request *r, bool *ret_partial, struct err *e) {
    if (r->format == API_FORMAT_TEXT) return ERR_OK;
    if (r->schema != NULL && strlen(r->schema) > MAX_SCHEMA)
        return err_set_field(e, ERR_INVALID, r->format_field, "the schema has %zu bytes, at most %d are allowed", strlen(r->schema),
                             MAX_SCHEMA);
    if (r->sampling.grammar != NULL)
        return err_set_field(e, ERR_INVALID, r->format_field, "a grammar is given, too: leave one of them out");
    struct buf grammar;
    buf_init(&grammar, MAX_GRAMMAR);
    err_code code = ERR_OK;
    if (r->format == API_FORMAT_JSON) schema_any_object(&grammar);
    else code = schema_grammar(r, ret_partial, &grammar, e);
    if (code == ERR_OK) r->sampling.grammar = mem_strdup(buf_cstr(&grammar));
    else err_in_field(e, r->format_field);
    buf_done(&grammar);
    return code == ERR_LIMIT ? ERR_INVALID : code;
}

/* ---- what is to be filled in ---- */

/* Puts a prompt and its suffix into one text, with the model's own tokens for that: prefix, suffix, then the model writes the middle. */
static err_code fill_in(struct api_request *r, const struct backend_model *model, struct err *e) {
    const struct model_facts *f = &model->facts;
    if (r->suffix == NULL) return ERR_OK;
    if (f->fim_pre[0] == '\0') {
        err_set_field(e, ERR_UNSUPPORTED, r->suffix_field, "the model \"%s\" has no infill tokens", model->id);
        err_hint(e, "leave it out, or ask a model that was trained to fill in");
        return ERR_UNSUPPORTED;
    }
    for (size_t i = 0; i < r->n_prompts; i++) {
        struct api_prompt *p = &r->prompts[i];
        struct buf text;
        if (p->text == NULL) return err_set_field(e, ERR_UNSUPPORTED, r->suffix_field, "only text prompts have one, not token ids");
        buf_init(&text, SIZE_MAX - 1);
        buf_append_str(&text, f->fim_pre);
        buf_append(&text, p->text, p->len);
        buf_append_str(&text, f->fim_suf);
        buf_append(&text, r->suffix, r->suffix_len);
        buf_append_str(&text, f->fim_mid);
        char *made = arena_alloc(r->arena, text.len);
        memcpy(made, text.data, text.len);
        *p = (struct api_prompt){.text = made, .len = text.len};
        buf_done(&text);
    }
    return ERR_OK;
}

err_code call_prompt_prepare(struct call *call, const struct backend_model *model, struct err *e) {
    return fill_in(&call->request, model, e);
}

/* ---- the chat ---- */

static bool tools_wanted(const struct api_request *r) { return r->n_tools > 0 && r->tool_choice != API_TOOLS_NONE; }

static struct render_chat chat_of(const struct call *call, const struct backend_model *model) {
    const struct api_request *r = &call->request;
    return (struct render_chat){.tmpl = call->tmpl,
                                .bos = model->bos,
                                .eos = model->eos,
                                .messages = r->chat,
                                .tools = tools_wanted(r) ? r->chat_tools : NULL,
                                .extra = r->chat_extra,
                                .no_generation_prompt = r->no_generation_prompt,
                                .continue_final = r->continues,
                                .now = clock_wall_s()};
}

err_code call_prompt_render(struct call *call, const struct backend_model *model, render_fn fn, bool *ret_done, struct err *e) {
    struct render *render = call->gateway->requests->render;
    struct render_answer answer;
    if (model->chat_template == NULL || *model->chat_template == '\0') {
        err_set(e, ERR_UNSUPPORTED, "the model \"%s\" has no chat template", model->id);
        err_hint(e, "it continues text: use /v1/completions");
        return ERR_UNSUPPORTED;
    }
    if (call->tmpl == NULL) call->tmpl = mem_strdup(model->chat_template);
    const struct render_chat chat = chat_of(call, model);
    call->rendering = render_chat(render, &chat, fn, call, &answer);
    *ret_done = call->rendering == NULL;
    if (*ret_done) call_prompt_set(call, &answer);
    return ERR_OK;
}

void call_prompt_set(struct call *call, const struct render_answer *answer) {
    struct api_request *r = &call->request;
    toolcall_format_free(call->output.format);
    call->output.format = toolcall_format_copy(answer->format);
    call->output.reasoning = answer->reasoning;
    if (r->n_prompts == 0) r->prompts = arena_alloc(r->arena, sizeof(*r->prompts));
    r->n_prompts = 1;
    char *text = arena_alloc(r->arena, answer->len + 1); /* not a C string: it may hold NUL */
    memcpy(text, answer->text, answer->len);
    r->prompts[0] = (struct api_prompt){.text = text, .len = answer->len, .has_bos = answer->has_bos};
}

uint32_t call_prompt_room(const struct call *call, const struct backend_model *model) {
    enum { USUAL_SHARE = 8, MOST_SHARE = 2 }; /* of the context, for an answer without a limit of its own, and for any */
    int32_t limit = call->request.max_tokens;
    uint32_t answer = limit > 0 ? (uint32_t)limit : model->n_ctx / USUAL_SHARE;
    return model->n_ctx - (answer < model->n_ctx / MOST_SHARE ? answer : model->n_ctx / MOST_SHARE);
}

static bool has_role(yyjson_mut_val *message, const char *role) { return yyjson_mut_equals_str(yyjson_mut_obj_get(message, "role"), role); }

/* The pictures and sounds of turns that were taken out are not sent. */
static void drop_media(struct api_request *r) {
    char *rest = r->n_media > 0 ? yyjson_mut_val_write(r->chat, 0, NULL) : NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; rest != NULL && i < r->n_media; i++)
        if (strstr(rest, r->media[i].mark) != NULL) r->media[n++] = r->media[i];
    if (rest != NULL) r->n_media = n;
    free(rest);
}

bool call_prompt_shorten(struct call *call, size_t bytes) {
    yyjson_mut_val *chat = call->request.chat;
    size_t first = 0, last_turn = 0, dropped = 0, n = yyjson_mut_arr_size(chat);
    for (size_t i = 0; i < n; i++)
        if (has_role(yyjson_mut_arr_get(chat, i), "user")) last_turn = i;
    while (first < last_turn && has_role(yyjson_mut_arr_get(chat, first), "system")) first++; /* instructions stay */
    if (first >= last_turn) return false;
    while (first < last_turn && (dropped == 0 || dropped < bytes || !has_role(yyjson_mut_arr_get(chat, first), "user"))) {
        size_t len = 0;
        char *text = yyjson_mut_val_write(yyjson_mut_arr_remove(chat, first), 0, &len);
        free(text);
        dropped += len;
        last_turn--;
    }
    drop_media(&call->request);
    return true;
}

/* Appends what the model wrote, as it is shown to the model again: the text, or the calls as JSON. */
static void append_written(const struct api_choice_text *c, struct buf *out) {
    for (size_t i = 0; i < c->n_items; i++) {
        size_t len;
        const char *text = api_item_text(c, &c->items[i], &len);
        if (c->items[i].kind == API_REASONING) continue;
        if (c->items[i].kind == API_CALL) buf_printf(out, "%s ", c->items[i].name);
        buf_append(out, text, len);
    }
}

void call_prompt_complain(struct call *call, const struct err *why) {
    struct api_request *r = &call->request;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    append_written(&call->answer.choices[0], &text);
    api_chat_add(r, "assistant", buf_cstr(&text), text.len);
    buf_clear(&text);
    buf_printf(&text, "That is not right: %s. Answer again, in the same form, and put this right.", why->text);
    api_chat_add(r, "user", buf_cstr(&text), text.len);
    buf_done(&text);
}

/* ---- how the answer is read ---- */

static err_code tools_grammar(struct api_request *r, const struct output_options *o, bool *ret_partial, struct err *e) {
    bool required = r->tool_choice == API_TOOLS_REQUIRED || r->tool_choice == API_TOOLS_NAMED;
    if (!tools_wanted(r)) return ERR_OK;
    char *answer = r->format != API_FORMAT_TEXT ? r->sampling.grammar : NULL; /* a call may take its place, or has to */
    if (r->sampling.grammar != NULL && answer == NULL) {
        if (!required) return ERR_OK; /* the grammar that the client gave holds for the whole answer */
        return err_set_field(e, ERR_INVALID, "tool_choice",
                             "a tool call is required, but a schema or grammar for the answer is given, "
                             "too: leave one of them out");
    }
    const struct toolcall_wish wish = {.format = o->format,
                                       .reasoning = o->reasoning,
                                       .reasoning_open = o->reasoning_open,
                                       .call_open = o->call_open,
                                       .tools = r->tools,
                                       .n_tools = r->n_tools,
                                       .required = required,
                                       .single = r->single_tool,
                                       .answer = required ? NULL : answer,
                                       .partial = ret_partial,
                                       .only = r->tool_choice == API_TOOLS_NAMED ? r->tool_name : NULL};
    struct err why = {0};
    r->sampling.grammar = NULL;
    err_code code = toolcall_grammar_make(&wish, &r->sampling, &why);
    if (code == ERR_OK) free(answer);
    else r->sampling.grammar = answer;
    if (code == ERR_LIMIT && !required) return ERR_OK; /* too many for a grammar: the calls are not enforced */
    if (code != ERR_OK) *e = why;
    return code;
}

/* How the answer begins: in reasoning, or perhaps in reasoning that nothing has opened. Then a whole answer is judged by its text. A stream
 * of a model that always begins so is reasoning at once, and one of a model that writes its marks is text at once; as long as this isn't
 * known of the model, the stream waits a little. */
static void read_reasoning(struct call *call, struct output_options *o) {
    enum { HELD_IN_STREAM = 512 };
    const struct api_request *r = &call->request;
    const char *prompt = r->prompts[0].text;
    size_t len = r->prompts[0].len;
    bool opened = toolcall_reasoning_open(o->reasoning, prompt, len), closed = toolcall_reasoning_closed(o->reasoning, prompt, len);
    bool perhaps = o->reasoning != NULL && o->reasoning->unopened && !r->continues && !closed;
    bool begins = perhaps && toolcall_reasoning_begins(o->reasoning, call->tmpl);
    call->begins_freely = perhaps && !opened && !begins;
    enum habit habit = call->begins_freely ? habits_get(call->gateway->requests->habits, call->model) : HABIT_UNKNOWN;
    o->reasoning_open = !r->continues && (opened || (r->stream && (begins || habit == HABIT_UNMARKED)));
    o->reasoning_assumed = o->reasoning_open && !opened;
    o->hold = !perhaps ? 0 : !r->stream ? OUTPUT_MAX_HELD : habit == HABIT_MARKED ? 0 : HELD_IN_STREAM;
}

void call_prompt_output(struct call *call) {
    const struct api_request *r = &call->request;
    struct output_options *o = &call->output;
    if (r->chat == NULL || r->n_prompts == 0) return; /* plain text goes on as plain text */
    if (o->format == NULL) { /* nothing was rendered */
        o->format = toolcall_detect(NULL);
        o->reasoning = toolcall_detect_reasoning(call->tmpl);
    }
    if (o->format->harmony) o->reasoning = NULL;
    o->content_open = r->continues;
    read_reasoning(call, o);
    o->call_open = !r->continues && toolcall_call_open(o->format, r->prompts[0].text, r->prompts[0].len);
    o->tools = r->tools;
    o->n_tools = tools_wanted(r) ? r->n_tools : 0;
    o->max_calls = r->single_tool ? 1 : 0;
    o->seed = str_hash(call->answer.id); /* the ids of tool calls differ between answers */
}

err_code call_prompt_form(struct api_request *r, const struct output_options *o, struct call_form *ret_form, struct err *e) {
    struct call_form form = {0};
    err_code code = format_grammar(r, &form.partial_format, e);
    bool plain = r->chat == NULL || r->n_prompts == 0;
    if (code == ERR_OK && !plain) code = tools_grammar(r, o, &form.partial_tools, e);
    if (code == ERR_OK) *ret_form = form;
    return code;
}
