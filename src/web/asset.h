/* SPDX-License-Identifier: MIT
 * The files of the web page, which are a part of the program: web/ of the sources and what the build took from npm (tools/bundle-web.sh
 * writes the table). A browser asks again each time and mostly gets 304. The headers allow a page nothing but its own server: no inline
 * script, no other origin, no frame. Loop thread. */
#ifndef CARAVAN_WEB_ASSET_H
#define CARAVAN_WEB_ASSET_H

#include <stddef.h>

#include "http/server.h"

struct web_asset {
    const char *path; /* below /web/: "app.js" */
    const char *type; /* its Content-Type */
    const char *etag; /* in quotes, as the header wants it; that of the compressed bytes ends in -gz */
    const char *etag_gzip;
    const unsigned char *data, *gzip; /* gzip NULL: the build had no gzip, or it is no shorter */
    size_t len, gzip_len;
};
extern const struct web_asset web_assets[];
extern const size_t web_n_assets;

/* NULL: there is none. */
const struct web_asset *web_asset_find(const char *path);
/* Does the client ask for a page, as browsers do, rather than for a sign of life? */
bool web_wants_page(const struct http_request *r);
/* Answers with the asset, compressed where the client understands that, or with 304 where it has it. Ends the exchange. */
void web_asset_respond(struct http_exchange *x, const struct web_asset *asset);

#endif
