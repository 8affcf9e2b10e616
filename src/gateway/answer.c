/* SPDX-License-Identifier: MIT
 * See answer.h. */
#include "gateway/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { RETRY_BUSY_S = 2, RETRY_UNAVAILABLE_S = 5 };

void gateway_respond(struct http_exchange *x, int status, const char *type, struct buf *body) {
    static const char failed[] = "{\"error\":{\"message\":\"there is no memory for the answer\",\"type\":\"server_error\"}}";
    if (body->failed) http_respond(x, 500, "application/json", failed, sizeof(failed) - 1);
    else http_respond(x, status, type, body->data, body->len);
    buf_done(body);
}

void gateway_respond_json(struct http_exchange *x, int status, const yyjson_mut_doc *doc) {
    struct buf body;
    buf_init(&body, SIZE_MAX - 1);
    json_write(&body, doc);
    gateway_respond(x, status, "application/json", &body);
}

void gateway_answer_error(const struct api *api, struct http_exchange *x, err_code code, const struct err *e) {
    int status = api_error_status(code);
    char seconds[16];
    snprintf(seconds, sizeof(seconds), "%u", e->retry_s > 0 ? e->retry_s : code == ERR_BUSY ? RETRY_BUSY_S : RETRY_UNAVAILABLE_S);
    bool never = code == ERR_QUOTA && e->retry_s == 0; /* it can't ever fit */
    if (!never && (status == 429 || status == 503)) http_response_header(x, "Retry-After", seconds);
    else if (never || status >= 500) /* the gateway has tried again already */ http_response_header(x, "x-should-retry", "false");
    if (status == 401) http_response_header(x, "WWW-Authenticate", "Bearer");
    struct buf body;
    buf_init(&body, 16 * 1024);
    api->error(code, e, http_request(x)->id, &body);
    gateway_respond(x, status, "application/json", &body);
}

/* With how many equal segments two paths begin. */
static size_t common_segments(const char *a, const char *b) {
    size_t n = 0;
    for (; *a == *b && *a != '\0'; a++, b++) n += *a == '/';
    bool cut = (*a == '\0' || *a == '/') && (*b == '\0' || *b == '/'); /* else the last segments only begin alike */
    return cut || n == 0 ? n : n - 1;
}

/* The paths of the APIs. The handlers stand in another table (routes.h), since they call the functions of this file. */
static const struct {
    const char *path;
    const struct api *api;
} paths[] = {
#define CALL(method, path, api, auth, help) {path, &api_##api},
#define ROUTE(method, path, handler, auth, help)
#define UPLOAD(method, path, handler, auth, help)
#define NODE_ROUTE(method, path, id, auth, help)
#include "../../tables/routes.def"
#undef CALL
#undef ROUTE
#undef UPLOAD
#undef NODE_ROUTE
};

const struct api *gateway_api_of(const char *path) {
    const struct api *best = &api_openai_chat;
    size_t most = 0;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        size_t n = common_segments(paths[i].path, path);
        if (n > most) {
            most = n;
            best = paths[i].api;
        }
    }
    return best;
}

void gateway_respond_error(struct http_exchange *x, err_code code, const struct err *e) {
    gateway_answer_error(gateway_api_of(http_request(x)->path), x, code, e);
}
