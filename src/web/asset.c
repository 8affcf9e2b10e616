/* SPDX-License-Identifier: MIT
 * See asset.h. */
#include "web/asset.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* https://www.w3.org/TR/CSP3/: only files of this server, and no text that becomes HTML or script but by the one sanitizer. */
static const char *const headers[][2] = {
    {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
                                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
                                "trusted-types dompurify"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cache-Control", "no-cache"},
    {"Vary", "Accept, Accept-Encoding"},
};

const struct web_asset *web_asset_find(const char *path) {
    for (size_t i = 0; i < web_n_assets; i++)
        if (strcmp(web_assets[i].path, path) == 0) return &web_assets[i];
    return NULL;
}

/* Is the word an element of the header's list, whatever parameters follow it? An element with "q=0" is refused (RFC 9110, 12.4.2). */
static bool list_has(const char *list, const char *word) {
    const char *part;
    size_t len;
    if (list == NULL) return false;
    for (const char *at = list; str_next(&at, ',', &part, &len);) {
        size_t blanks = strspn(part, " \t"), end;
        if (blanks >= len) continue;
        part += blanks;
        len -= blanks;
        end = strcspn(part, " \t;,");
        if (end != strlen(word) || strncmp(part, word, end) != 0) continue;
        char *rest = mem_strndup(part + end, len - end);
        bool refused = strstr(rest, "q=0") != NULL && strpbrk(strstr(rest, "q=0"), "123456789") == NULL;
        free(rest);
        return !refused;
    }
    return false;
}

bool web_wants_page(const struct http_request *r) { return list_has(http_request_header(r, "accept"), "text/html"); }

void web_asset_respond(struct http_exchange *x, const struct web_asset *asset) {
    const struct http_request *r = http_request(x);
    bool gzip = asset->gzip != NULL && list_has(http_request_header(r, "accept-encoding"), "gzip");
    const char *etag = gzip ? asset->etag_gzip : asset->etag, *known = http_request_header(r, "if-none-match");
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) http_response_header(x, headers[i][0], headers[i][1]);
    http_response_header(x, "ETag", etag);
    if (gzip) http_response_header(x, "Content-Encoding", "gzip");
    if (known != NULL && strstr(known, etag) != NULL) http_respond(x, 304, NULL, NULL, 0);
    else http_respond(x, 200, asset->type, gzip ? asset->gzip : asset->data, gzip ? asset->gzip_len : asset->len);
}
