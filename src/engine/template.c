/* SPDX-License-Identifier: MIT */
#include "engine/template.h"

#include <llama.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static err_code unknown_template(const char *tmpl, struct err *e) {
    if (tmpl == NULL || *tmpl == '\0') {
        err_set(e, ERR_UNSUPPORTED, "the model has no chat template");
        err_hint(e, "use /v1/completions, which takes a plain prompt");
    } else {
        err_set(e, ERR_UNSUPPORTED, "the model's chat template is not one of the built-in ones: it begins \"%.60s\"", tmpl);
        err_hint(e, "use /v1/completions with a prompt that you formatted yourself");
    }
    return ERR_UNSUPPORTED;
}

/* Appends the prompt to out. room: a guess of its length; if the prompt is longer, it is rendered a second time. */
static err_code render(const char *tmpl, const struct llama_chat_message *chat, size_t n, bool add_assistant, size_t room, struct buf *out,
                       struct err *e) {
    for (int tries = 0; tries < 2; tries++) {
        if (!buf_reserve(out, room)) return err_set(e, ERR_LIMIT, "the rendered messages are longer than %zu bytes", out->max);
        int32_t len = llama_chat_apply_template(tmpl, chat, n, add_assistant, (char *)out->data + out->len, (int32_t)room);
        if (len < 0) return unknown_template(tmpl, e);
        if ((size_t)len <= room) {
            out->len += (size_t)len;
            return ERR_OK;
        }
        room = (size_t)len;
    }
    return err_set(e, ERR_INTERNAL, "the chat template grew while it was rendered");
}

err_code engine_template_render(const char *tmpl, const struct engine_message *messages, size_t n, bool add_assistant, struct buf *out,
                                struct err *e) {
    if (n == 0) return err_set(e, ERR_INVALID, "no messages");
    if (n > ENGINE_MAX_MESSAGES) return err_set(e, ERR_LIMIT, "%zu messages, at most %d", n, ENGINE_MAX_MESSAGES);
    if (tmpl == NULL || *tmpl == '\0') return unknown_template(tmpl, e);
    struct llama_chat_message *chat = mem_calloc(n, sizeof(*chat));
    size_t room = 256;
    for (size_t i = 0; i < n; i++) {
        chat[i].role = messages[i].role;
        chat[i].content = messages[i].content;
        room += strlen(messages[i].role) + strlen(messages[i].content) + 64;
    }
    err_code code =
        room > INT32_MAX ? err_set(e, ERR_LIMIT, "messages of %zu bytes", room) : render(tmpl, chat, n, add_assistant, room, out, e);
    free(chat);
    return code;
}
