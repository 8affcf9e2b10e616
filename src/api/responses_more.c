/* SPDX-License-Identifier: MIT
 * POST /v1/responses/input_tokens counts the tokens of a request. POST /v1/responses/compact makes a conversation one short item, which
 * stands for it in later requests. Pure. */
#include <inttypes.h>
#include <string.h>

#include "api/openai_priv.h"
#include "api/responses_priv.h"

static err_code count_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = responses_parse(root, r, e);
    r->store = r->stream = false;
    return code;
}

static void count_whole(struct api_answer *a, struct buf *out) {
    buf_printf(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":%" PRIu64 "}", a->usage.prompt_tokens);
}

/* ---- compaction ---- */

static err_code compact_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = count_parse(root, r, e);
    r->tool_choice = API_TOOLS_NONE;
    return code;
}

static err_code compact_resume(yyjson_val *chain, struct api_request *r, struct err *e) {
    static const char wish[] =
        "Summarize this conversation so that it can be continued from the summary alone: what was asked, what was done and found, what "
        "is decided, what is still to do. Write the summary and nothing else.";
    err_code code = responses_resume(chain, r, e);
    if (code == ERR_OK) api_chat_add(r, "user", wish, strlen(wish));
    return code;
}

static void compact_whole(struct api_answer *a, struct buf *out) {
    const struct buf *summary = &a->choices[0].text;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    buf_append_str(&text, RESPONSES_COMPACTED "The conversation so far, in short:\n");
    buf_append(&text, summary->data, summary->len);
    buf_printf(out,
               "{\"id\":\"%s\",\"object\":\"response.compaction\",\"created_at\":%" PRId64
               ",\"output\":[{\"id\":\"cmp_%s\",\"type\":\"compaction\",",
               a->id, a->created, a->id + strlen("resp_"));
    buf_append_str(out, "\"encrypted_content\":");
    text_append_json(out, (const char *)text.data, text.len);
    buf_append_str(out, "}],\"usage\":");
    responses_append_usage(&a->usage, out);
    buf_append_byte(out, '}');
    buf_done(&text);
}

const struct api api_openai_input_tokens = {
    .name = "openai input tokens",
    .id_prefix = "resp_",
    .work = API_WORK_COUNT,
    .whole_type = "application/json",
    .parse = count_parse,
    .resume = responses_resume,
    .whole = count_whole,
    .error = openai_error,
};

const struct api api_openai_compact = {
    .name = "openai compact",
    .id_prefix = "resp_",
    .whole_type = "application/json",
    .parse = compact_parse,
    .resume = compact_resume,
    .whole = compact_whole,
    .error = openai_error,
};
