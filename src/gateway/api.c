/* SPDX-License-Identifier: MIT
 * The request and error values that all APIs share. */
#include "gateway/api.h"

#include <string.h>

void gateway_request_init(struct gateway_request *r) {
    *r = (struct gateway_request){.arena = arena_create(), .model = "", .n = 1, .max_tokens = -1};
    engine_sampling_init(&r->sampling);
}

void gateway_request_done(struct gateway_request *r) {
    engine_sampling_done(&r->sampling);
    arena_free(r->arena);
    r->arena = NULL;
}

int gateway_error_status(err_code code) {
    switch (code) {
    case ERR_LIMIT: return 400;     /* a prompt past the context; bodies past their limit never get this far */
    case ERR_USAGE: return 405;
    case ERR_CANCELLED: return 503; /* the node is going down: another one may serve it */
    case ERR_STALE:
    case ERR_WHOLE_ONLY: return 500;
    default: return err_http_status(code);
    }
}

bool gateway_error_param(const struct err *e, char *out, size_t size) {
    static const char mark[] = "field \"";
    const char *at = e != NULL ? strstr(e->text, mark) : NULL;
    if (at == NULL) return false;
    at += strlen(mark);
    size_t len = strcspn(at, "\"");
    if (at[len] != '"' || len == 0 || len >= size) return false;
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}
