/* SPDX-License-Identifier: MIT
 * Sets libcurl up for documents and downloads alike. Only for http/. */
#ifndef CARAVAN_HTTP_WEB_PRIV_H
#define CARAVAN_HTTP_WEB_PRIV_H

#include <curl/curl.h>

#include "base/err.h"
#include "http/web.h"

/* A handle for url: time-outs, redirects; libcurl's own certificates. NULL is never returned: without memory the process ends. */
CURL *web_handle_bare(const char *url);
/* Believes the system's certificates. Looks for their file, so requests without TLS that are many do without. */
void web_trust_system(CURL *h);
/* As web_handle_bare, with the system's certificates, and the token where it may be sent. */
CURL *web_handle(const char *url, struct web_token token);
/* What libcurl's result means; ERR_OK for CURLE_OK. text: its own words (CURLOPT_ERRORBUFFER), may be "". */
err_code web_error(CURLcode rc, const char *url, const char *text, struct err *e);
long web_status(CURL *h);
/* Seconds; 0: none. */
long web_retry_after(CURL *h);
/* A header of the last answer (request -1), or of an earlier one in a line of redirects (0: the first); NULL: not there. */
const char *web_header(CURL *h, const char *name, int request);

#endif
