/* SPDX-License-Identifier: MIT
 * Fuzzes chats and templates: a template and a request (JSON), with a NUL between, give a prompt in UTF-8 or an error with a text, in
 * bounded time; and the runtime is of use afterwards. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "chat/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char default_chat[] = "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct chat *chat;
    const struct jinja_limits limits = {.steps = 300000, .memory = (size_t)32 << 20, .depth = 300};
    const uint8_t *nul = memchr(data, 0, size);
    size_t len = nul != NULL ? (size_t)(nul - data) : size;
    if (!str_utf8_valid((const char *)data, len)) return 0;
    if (chat == NULL) chat = chat_create(&limits);
    char *tmpl = mem_strndup((const char *)data, len);
    const char *text = nul != NULL ? (const char *)nul + 1 : default_chat;
    yyjson_doc *doc = NULL;
    struct err e = {0};
    struct buf out;
    buf_init(&out, 1 << 20);
    if (json_parse(text, nul != NULL ? size - len - 1 : sizeof(default_chat) - 1, &doc, &e) == ERR_OK) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        const struct chat_input in = {.tmpl = tmpl,
                                      .bos = "<s>",
                                      .eos = "</s>",
                                      .messages = yyjson_obj_get(root, "messages"),
                                      .tools = yyjson_obj_get(root, "tools"),
                                      .extra = yyjson_obj_get(root, "extra"),
                                      .documents = yyjson_obj_get(root, "documents"),
                                      .add_generation_prompt = true,
                                      .now = 1};
        struct chat_answer answer;
        clock_t start = clock();
        e = (struct err){0};
        err_code code = chat_render(chat, &in, &out, &answer, &e);
        if (clock() - start > 30 * CLOCKS_PER_SEC) abort();
        if (code != ERR_OK && (e.code != code || e.text[0] == '\0' || !str_utf8_valid(e.text, strlen(e.text)))) abort();
        if (code == ERR_OK && !str_utf8_valid((const char *)out.data, out.len)) abort();
        yyjson_doc_free(doc);
    }
    buf_done(&out);
    free(tmpl);
    return 0;
}
