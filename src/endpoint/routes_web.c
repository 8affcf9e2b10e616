/* SPDX-License-Identifier: MIT
 * The web page: GET / and its files. Programs that ask GET / for a sign of life, as clients of Ollama and llama-server do, get a line of
 * text. See routes.h. */
#include "gateway/answer.h"
#include "endpoint/routes.h"
#include "web/asset.h"

void routes_root(struct gateway *g, struct http_exchange *x, const char *rest) {
    static const char text[] = "Caravan is running\n";
    if (web_wants_page(http_request(x))) {
        routes_web(g, x, "index.html");
        return;
    }
    (void)rest;
    http_response_header(x, "Vary", "Accept");
    http_respond(x, 200, "text/plain; charset=utf-8", text, sizeof(text) - 1);
}

void routes_web(struct gateway *g, struct http_exchange *x, const char *rest) {
    const struct web_asset *asset = web_asset_find(rest);
    struct err e = {0};
    (void)g;
    if (asset != NULL) web_asset_respond(x, asset);
    else gateway_respond_error(x, err_set(&e, ERR_NOT_FOUND, "the web page has no file \"%.120s\"", rest), &e);
}
