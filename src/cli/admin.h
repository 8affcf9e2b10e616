/* SPDX-License-Identifier: MIT
 * How subcommands reach a node: the node that runs on this machine with this state folder, or the API that --api names. They ask over HTTP
 * like any other client, with the owner's key for the node of the state folder alone. Main thread; every call waits for its answer. */
#ifndef CARAVAN_CLI_ADMIN_H
#define CARAVAN_CLI_ADMIN_H

#include "base/json.h"
#include "http/client.h"
#include "io/sock.h"
#include "options/option.h"

enum { CLI_URL_MAX = IO_ADDR_TEXT_MAX + 16, CLI_KEY_MAX = 512 };
struct cli_node {
    char host[64];   /* it listens there; "" unknown */
    uint16_t listen; /* 0: it is not known whether a node runs here */
    uint16_t api;
    char api_host[64];
};
/* Reads where the node that uses this state folder is. false: none runs. */
bool cli_node_find(const struct options *o, struct cli_node *ret);
/* Does the command line (or the environment) name the node to ask? In the configuration file --api is for the node that runs here. */
bool cli_api_named(const struct options *o);
/* The API that a command asks: --api, else the API of the node that runs here, else the default address. */
struct cli_api {
    char url[CLI_URL_MAX]; /* "http://127.0.0.1:8080" */
    char key[CLI_KEY_MAX]; /* to be sent: --api-key; else, if url is the node of this state folder, its owner's key; "": none */
};
err_code cli_api_find(const struct options *o, struct cli_api *ret, struct err *e);
/* The same, and a client of it; the caller frees the client. */
err_code cli_api_open(const struct options *o, struct cli_api *ret, struct http_client **ret_client, struct err *e);
/* What an answer of the API means: ERR_OK for status 200 with a JSON document; else the node's own error with what to do about it, or
 * ERR_PROTOCOL: another program answers there. root: of the answer's document, may be NULL. */
err_code cli_api_check(const struct cli_api *api, int status, yyjson_val *root, struct err *e);
err_code cli_api_silent(const struct cli_api *api, struct err *e); /* ERR_UNAVAILABLE: nobody answers there */
void cli_put_url(const char *text, struct buf *out); /* a part of a URL's path (RFC 3986, section 2) */
/* POSTs a JSON document to the node's admin API. ERR_UNAVAILABLE: none runs. The node's own error otherwise. *ret_doc may be NULL; else the
 * caller frees it. */
err_code cli_admin_post(const struct options *o, const char *path, const char *body, yyjson_doc **ret_doc, struct err *e);
/* The same by any method; body may be NULL. */
err_code cli_admin_ask(const struct options *o, const char *method, const char *path, const char *body, yyjson_doc **ret_doc,
                       struct err *e);

/* Prints what the node answers to GET path, as put lays it out or as JSON (--json); with --watch every second, until a signal comes.
 * wall: seconds since 1970, now. width: columns of a line, 0: any number. */
typedef void (*cli_put_fn)(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out);
err_code cli_show(const struct options *o, const char *path, cli_put_fn put, struct err *e);

#endif
