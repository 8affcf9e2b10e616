/* SPDX-License-Identifier: MIT
 * The work of a call that converts: the tokens of its prompt (with their bytes if asked), the text of its tokens, or only how many tokens
 * its prompt has. See call_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/find.h"
#include "requests/call_priv.h"

static void tokens_free(struct call *call) {
    struct backend *b = &call->gateway->backend;
    struct api_tokens *t = &call->answer.tokens;
    if (call->converting != NULL) b->cancel(b->self, call->converting);
    free(t->ids);
    free(t->bytes);
    free(t->ends);
    *t = (struct api_tokens){0};
    call->converting = NULL;
}

static void *copy(const void *from, size_t n, size_t size) {
    void *to = mem_calloc(n, size);
    if (n > 0) memcpy(to, from, n * size);
    return to;
}

static void on_bytes(void *user, err_code code, const struct backend_text *text, const struct err *e) {
    struct call *call = user;
    struct api_tokens *t = &call->answer.tokens;
    call->converting = NULL;
    if (code != ERR_OK) {
        call_fail(call, code, e);
        return;
    }
    t->n = text->n;
    t->ends = copy(text->ends, text->n, sizeof(*t->ends));
    t->bytes = copy(text->bytes, text->n > 0 ? text->ends[text->n - 1] : 0, 1);
    call_part_done(call);
}

static err_code to_bytes(struct call *call, const int32_t *tokens, size_t n, struct err *e) {
    struct backend *b = &call->gateway->backend;
    return b->detokenize(b->self, call->model, tokens, n, on_bytes, call, &call->converting, e);
}

static void on_tokens(void *user, err_code code, const struct backend_text *text, const struct err *cause) {
    struct call *call = user;
    struct api_tokens *t = &call->answer.tokens;
    struct err e = {0};
    call->converting = NULL;
    if (code != ERR_OK) {
        call_fail(call, code, cause);
        return;
    }
    call->answer.usage.prompt_tokens = call->api->work == API_WORK_COUNT ? text->n : 0;
    t->n = text->n;
    t->ids = copy(text->tokens, text->n, sizeof(*t->ids));
    if (!call->request.with_pieces) {
        call_part_done(call);
        return;
    }
    code = to_bytes(call, t->ids, t->n, &e);
    if (code != ERR_OK) call_fail(call, code, &e);
}

/* A token that the model doesn't have is the client's mistake, and has no bytes. */
static err_code check_ids(const struct call *call, const struct api_prompt *p, struct err *e) {
    const struct backend_model *model = NULL;
    err_code code = gateway_find_model(call->gateway, call->model, &model, e);
    if (code != ERR_OK || model->n_vocab == 0) return code;
    for (size_t i = 0; i < p->n_tokens; i++)
        if ((uint32_t)p->tokens[i] >= model->n_vocab)
            return err_set_field(e, ERR_INVALID, "tokens", "the model has no token %d, its last is %u", p->tokens[i], model->n_vocab - 1);
    return ERR_OK;
}

static err_code tokens_start(struct call *call, struct err *e) {
    struct backend *b = &call->gateway->backend;
    const struct api_prompt *p = &call->request.prompts[0];
    if (call->request.n_media > 0)
        return err_set(e, ERR_UNSUPPORTED, "how many tokens a picture or a sound takes is known only when it is read");
    call->n_running = 1;
    if (p->tokens != NULL) {
        err_code code = check_ids(call, p, e);
        return code == ERR_OK ? to_bytes(call, p->tokens, p->n_tokens, e) : code;
    }
    return b->tokenize(b->self, call->model, p->text, p->len, !p->has_bos, !p->control_is_text, on_tokens, call, &call->converting, e);
}

const struct call_work call_work_tokens = {.start = tokens_start, .free = tokens_free};
