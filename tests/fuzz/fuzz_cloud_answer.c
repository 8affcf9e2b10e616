/* SPDX-License-Identifier: MIT
 * What an upstream may answer. The first byte is the form of the answer, the second the size of the pieces. Whatever comes, the events keep
 * their order: BEGIN first, calls one after another, FINISH once and last. */
#include <stdlib.h>
#include <string.h>

#include "cloud/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 2 };

struct seen {
    struct {
        bool begun, finished, in_call;
        uint32_t n_calls;
    } choices[CHOICES];
};

static void on_event(void *user, const struct api_event *ev) {
    struct seen *s = user;
    if (ev->choice >= CHOICES || s->choices[ev->choice].finished) abort();
    bool part = ev->kind == API_ARGUMENTS || ev->kind == API_CALL_END;
    if (s->choices[ev->choice].begun == (ev->kind == API_BEGIN)) abort();
    if (part != s->choices[ev->choice].in_call && (part || ev->kind == API_FINISH || ev->kind == API_CALL)) abort();
    if (ev->kind == API_BEGIN) s->choices[ev->choice].begun = true;
    if (ev->kind == API_CALL && (ev->call != s->choices[ev->choice].n_calls++ || ev->id == NULL || ev->len == 0)) abort();
    if (ev->kind == API_CALL) s->choices[ev->choice].in_call = true;
    if (ev->kind == API_CALL_END) s->choices[ev->choice].in_call = false;
    if (ev->kind == API_FINISH) s->choices[ev->choice].finished = true;
}

static void on_vector(void *user, size_t index, const float *numbers, uint32_t n) {
    (void)user, (void)numbers;
    if (index >= CHOICES || n == 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char forms[] = "coem";
    const char *form = size >= 2 ? strchr(forms, data[0]) : NULL;
    if (form == NULL || *form == '\0') return 0;
    enum cloud_form f = (enum cloud_form)(form - forms);
    struct seen s = {0};
    struct err e = {0};
    struct cloud_answer *a = cloud_answer_create(&(struct cloud_answer_options){
        .form = f, .n_choices = f == CLOUD_MESSAGES ? 1 : CHOICES, .on_event = on_event, .on_vector = on_vector, .user = &s});
    size_t piece = 1 + data[1] % 64;
    err_code code = ERR_OK;
    for (size_t at = 2; at < size && code == ERR_OK; at += piece)
        code = cloud_answer_push(a, data + at, size - at < piece ? size - at : piece, &e);
    if (code == ERR_OK) code = cloud_answer_end(a, &e);
    if ((code == ERR_OK) != (e.text[0] == '\0')) abort();
    if (code == ERR_OK && !cloud_answer_is_complete(a)) abort();
    struct cloud_usage u = cloud_answer_usage(a);
    if (u.cached > u.prompt || (!u.known && u.prompt + u.completion > 0)) abort();
    cloud_answer_free(a);
    char line[64];
    cloud_answer_message((const char *)data + 2, size - 2, "key", line, sizeof(line));
    return 0;
}
