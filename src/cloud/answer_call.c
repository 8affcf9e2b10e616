/* SPDX-License-Identifier: MIT
 * Calls of tools in an upstream's answer. Our events give one call after another; some upstreams send the pieces of several calls mixed.
 * So the first call is passed on as it comes, and the others when the choice ends. See answer_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cloud/answer_priv.h"

err_code answer_call_at(struct cloud_answer *a, uint32_t choice, int64_t index, struct answer_call **ret, struct err *e) {
    struct answer_choice *c = &a->choices[choice];
    for (size_t i = 0; i < c->n_calls; i++)
        if (c->calls[i].index == index) {
            *ret = &c->calls[i];
            return ERR_OK;
        }
    if (c->n_calls == CLOUD_MAX_CALLS) return err_set(e, ERR_LIMIT, "the upstream calls more than %d tools at once", CLOUD_MAX_CALLS);
    c->calls = mem_realloc(c->calls, c->n_calls + 1, sizeof(*c->calls));
    *ret = &c->calls[c->n_calls++];
    **ret = (struct answer_call){.index = index};
    buf_init(&(*ret)->arguments, CLOUD_MAX_ANSWER);
    return ERR_OK;
}

err_code answer_call_name(char **to, yyjson_val *v, struct err *e) {
    size_t len = yyjson_get_len(v);
    char line[CLOUD_MAX_CALL_NAME + 1];
    if (!yyjson_is_str(v) || len == 0 || *to != NULL) return ERR_OK;
    if (len > CLOUD_MAX_CALL_NAME) return answer_wrong(e, "the name or id of a tool call is too long");
    str_line(yyjson_get_str(v), len, line, sizeof(line));
    *to = mem_strdup(line);
    return ERR_OK;
}

static void emit(struct cloud_answer *a, uint32_t choice, const struct answer_call *call, struct api_event ev) {
    ev.choice = choice;
    ev.call = (uint32_t)(call - a->choices[choice].calls);
    a->options.on_event(a->options.user, &ev);
}

/* A call needs an id: where the upstream has sent none, its number. */
static void give_call(struct cloud_answer *a, uint32_t choice, struct answer_call *call) {
    if (call->name == NULL) return;
    if (!call->begun) {
        call->begun = true;
        answer_begin(a, choice, 0, 0);
        if (call->id == NULL) call->id = mem_printf("call_%lld", (long long)call->index);
        emit(a, choice, call, (struct api_event){.kind = API_CALL, .text = call->name, .len = strlen(call->name), .id = call->id});
    }
    if (call->arguments.len == call->given) return;
    const char *more = (const char *)call->arguments.data + call->given;
    size_t len = call->arguments.len - call->given;
    call->given = call->arguments.len;
    emit(a, choice, call, (struct api_event){.kind = API_ARGUMENTS, .text = more, .len = len});
}

void answer_call_give(struct cloud_answer *a, uint32_t choice) {
    struct answer_choice *c = &a->choices[choice];
    if (c->open < c->n_calls && !c->finished) give_call(a, choice, &c->calls[c->open]);
}

err_code answer_call_arguments(struct cloud_answer *a, struct answer_call *call, const char *text, size_t len, struct err *e) {
    a->n_given += len;
    buf_append(&call->arguments, text, len);
    return call->arguments.failed ? err_set(e, ERR_LIMIT, "the arguments of a tool call are too long") : ERR_OK;
}

static void end_call(struct cloud_answer *a, uint32_t choice, struct answer_call *call) {
    if (call->arguments.len == 0) buf_append_str(&call->arguments, "{}");
    give_call(a, choice, call);
    yyjson_doc *doc = json_read(buf_cstr(&call->arguments), call->arguments.len);
    bool whole = yyjson_is_obj(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    if (!whole) a->choices[choice].cut = true;
    emit(a, choice, call, (struct api_event){.kind = API_CALL_END, .text = "", .whole = whole});
}

/* Removes what has no name: arguments of nothing. */
static void drop_nameless(struct answer_choice *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_calls; i++) {
        struct answer_call *call = &c->calls[i];
        if (call->name != NULL) {
            c->calls[n++] = *call;
            continue;
        }
        free(call->id);
        buf_done(&call->arguments);
    }
    c->n_calls = n;
}

void answer_calls_end(struct cloud_answer *a, uint32_t choice) {
    struct answer_choice *c = &a->choices[choice];
    drop_nameless(c);
    for (; c->open < c->n_calls; c->open++) end_call(a, choice, &c->calls[c->open]);
}

void answer_calls_free(struct answer_choice *c) {
    for (size_t i = 0; i < c->n_calls; i++) {
        free(c->calls[i].id);
        free(c->calls[i].name);
        buf_done(&c->calls[i].arguments);
    }
    free(c->calls);
}

void answer_finish(struct cloud_answer *a, uint32_t choice, enum api_finish finish) {
    struct answer_choice *c = &a->choices[choice];
    if (c->finished) return;
    answer_begin(a, choice, 0, 0);
    answer_calls_end(a, choice);
    if (finish != API_FINISH_LENGTH) finish = c->n_calls > 0 ? API_FINISH_CALLS : API_FINISH_STOP; /* some say "stop" after calls */
    if (c->cut) finish = API_FINISH_LENGTH;
    c->finished = true;
    a->options.on_event(a->options.user, &(struct api_event){.kind = API_FINISH, .choice = choice, .text = "", .finish = finish});
}
