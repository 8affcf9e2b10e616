/* SPDX-License-Identifier: MIT
 * JSON texts of clients to requests, schemas to grammars, tokens to JSON: short ones at once, long ones in a thread, since they may take
 * longer than a stream's next token. See call_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/pictures.h"
#include "http/fetch.h"
#include "requests/call_prompt.h"
#include "requests/call_read.h"
#include "requests/call_route.h"

enum { FETCH_ONE_US = 20 * 1000 * 1000, FETCH_ALL_US = 40 * 1000 * 1000 }; /* a picture at an address; all of a request */

struct call_reading {
    struct call *call; /* NULL: it has ended */
    call_read_fn fn;
    const struct api *api;
    /* The request's body, the conversation before it, the request's own schemas; or the answer's tokens, which are written. */
    enum { READ_BODY, READ_CHAIN, READ_FORM, READ_TOKENS } what;
    struct buf text;
    struct output_options output; /* FORM; its format is owned */
    struct call_form form;
    struct api_tokens tokens; /* TOKENS: taken from the call, and given back */
    struct api_request request; /* taken from the call, and given back */
    bool digests;      /* the request's digest is wanted */
    uint8_t digest[CACHE_KEY_SIZE];
    struct call_route route;    /* of the call, with another owner of its table */
    char *hosts;                /* from which pictures are fetched; NULL: nothing is fetched */
    clock_us fetch_until;
    err_code code;
    struct err err;
};

/* Does the owner want pictures to be fetched? */
static bool fetches(const struct call *call) { return call->gateway->fetch_images != NULL && call->gateway->fetch_images[0] != '\0'; }

/* ret_digest: of the request as its alias has changed it; NULL: not wanted. */
static err_code read_body(const struct api *api, const char *text, size_t len, struct call_route *route, struct api_request *r,
                          uint8_t *ret_digest, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse_body(text, len, &doc, e); /* numbers in schemas and arguments are passed on as they were written */
    yyjson_doc *changed = code == ERR_OK ? call_route_take(route, yyjson_doc_get_root(doc)) : NULL;
    yyjson_val *root = yyjson_doc_get_root(changed != NULL ? changed : doc);
    r->may_leave = call_route_may_leave(route);
    yyjson_doc *plain = code == ERR_OK && r->may_leave ? cloud_pictures_take(root) : NULL;
    if (code == ERR_OK) code = api->parse(plain != NULL ? yyjson_doc_get_root(plain) : root, r, e);
    if (code == ERR_OK && plain != NULL) {
        r->only_upstream = arena_alloc(r->arena, sizeof(*r->only_upstream));
        err_set_field(r->only_upstream, ERR_UNSUPPORTED, "messages", "files, and pictures at an address, are not read by this model");
    }
    yyjson_doc_free(plain);
    if (code == ERR_OK && ret_digest != NULL) key_of_request(root, ret_digest);
    if (changed == NULL) changed = doc;
    else yyjson_doc_free(doc);
    if (r->may_leave && code == ERR_OK) r->sent = changed; /* an upstream may get it as it came */
    else yyjson_doc_free(changed);
    return code;
}

static err_code read_chain(const struct api *api, const char *text, size_t len, struct api_request *r, struct err *e) {
    yyjson_doc *doc = json_read(text, len);
    err_code code =
        doc == NULL ? err_set(e, ERR_INTERNAL, "the stored conversation cannot be read") : api->resume(yyjson_doc_get_root(doc), r, e);
    yyjson_doc_free(doc);
    return code;
}

/* A picture of the request. The thread waits for it. */
static err_code fetch_picture(void *user, const char *url, struct buf *ret, struct err *e) {
    const struct call_reading *j = user;
    clock_us now = clock_now(), left = now < j->fetch_until ? j->fetch_until - now : 0;
    return http_fetch(url, j->hosts, left < FETCH_ONE_US ? left : FETCH_ONE_US, ret, e);
}

static void write_tokens(struct call_reading *j) {
    struct api_answer a = {.request = &j->request, .tokens = j->tokens};
    j->api->whole(&a, &j->text);
}

static void reading_run(void *job) {
    struct call_reading *j = job;
    const char *text = buf_cstr(&j->text);
    const struct api_fetch fetch = {fetch_picture, j};
    if (j->what == READ_TOKENS) {
        write_tokens(j);
        return;
    }
    j->fetch_until = clock_now() + FETCH_ALL_US;
    j->request.fetch = j->hosts != NULL ? &fetch : NULL;
    if (j->what == READ_FORM) j->code = call_prompt_form(&j->request, &j->output, &j->form, &j->err);
    else if (j->what == READ_CHAIN) j->code = read_chain(j->api, text, j->text.len, &j->request, &j->err);
    else j->code = read_body(j->api, text, j->text.len, &j->route, &j->request, j->digests ? j->digest : NULL, &j->err);
    j->request.fetch = NULL;
}

static err_code start_fetching(struct call *call, int what, struct buf text, call_read_fn fn, struct err *e);

static void reading_done(void *job) {
    struct call_reading *j = job;
    struct call *call = j->call;
    if (call == NULL) return;
    call->reading = NULL;
    if (j->what == READ_BODY && j->code != ERR_OK && j->request.wants_fetch) { /* once more, where it may wait */
        struct buf text = j->text;
        j->text = (struct buf){0};
        api_request_init(&call->request);
        j->code = start_fetching(call, READ_BODY, text, j->fn, &j->err);
        if (j->code != ERR_OK) j->fn(call, j->code, &j->err);
        return;
    }
    call->request = j->request;
    j->request = (struct api_request){0};
    call->route.alias = j->route.alias;
    call->route.session = j->route.session;
    if (j->what == READ_BODY) http_exchange_drop_body(call->x);
    if (j->what == READ_BODY) memcpy(call->digest, j->digest, sizeof(j->digest));
    if (j->what == READ_FORM) call->form = j->form;
    if (j->what == READ_TOKENS) {
        call->answer.tokens = j->tokens;
        call->written = j->text;
        j->tokens = (struct api_tokens){0};
        j->text = (struct buf){0};
    }
    j->fn(call, j->code, &j->err);
}

static void reading_free(void *job) {
    struct call_reading *j = job;
    buf_done(&j->text);
    toolcall_format_free(j->output.format);
    free(j->hosts);
    free(j->tokens.ids);
    free(j->tokens.bytes);
    free(j->tokens.ends);
    api_request_done(&j->request);
    call_route_drop(&j->route);
    free(j);
}

/* Gives the job, whose `what` and inputs are set, to a thread, with the request. */
static err_code start_reading(struct call *call, struct call_reading *j, call_read_fn fn, struct err *e) {
    static const struct io_work work = {.run = reading_run, .done = reading_done, .free = reading_free};
    j->call = call;
    j->fn = fn;
    j->api = call->api;
    j->request = call->request;
    j->route = call_route_keep(&call->route);
    j->digests = j->what == READ_BODY && call->gateway->cache != NULL;
    j->request.may_fetch = fetches(call) && j->hosts == NULL;
    call->request = (struct api_request){0};
    struct requests *r = call->gateway->requests;
    err_code code = io_works_start(j->hosts != NULL ? r->fetchers : r->readers, &work, j, e);
    const char *what = j->hosts != NULL ? "pictures are being fetched" : "long requests are being read";
    if (code == ERR_OK) {
        call->reading = j;
        return ERR_OK;
    }
    call->request = j->request; /* another target may be asked */
    j->request = (struct api_request){0};
    reading_free(j);
    return err_set(e, code, "too many %s: try again later", what);
}

static struct call_reading *new_reading(int what, struct buf text) {
    struct call_reading *j = MEM_NEW(struct call_reading);
    *j = (struct call_reading){.what = what, .text = text};
    return j;
}

/* Reads the text in a thread that may wait for pictures at addresses. */
static err_code start_fetching(struct call *call, int what, struct buf text, call_read_fn fn, struct err *e) {
    struct call_reading *j = new_reading(what, text);
    j->hosts = mem_strdup(call->gateway->fetch_images);
    return start_reading(call, j, fn, e);
}

err_code call_read_body(struct call *call, call_read_fn fn, struct err *e) {
    const struct http_request *http = http_request(call->x);
    if (http->body_len <= CALL_READ_AT_ONCE) {
        uint8_t *digest = call->gateway->cache != NULL ? call->digest : NULL;
        call->request.may_fetch = fetches(call);
        err_code code = read_body(call->api, http->body, http->body_len, &call->route, &call->request, digest, e);
        if (code == ERR_OK || !call->request.wants_fetch) {
            http_exchange_drop_body(call->x);
            return code;
        }
        api_request_done(&call->request);
        api_request_init(&call->request);
        return start_fetching(call, READ_BODY, http_request_take_body(call->x), fn, e);
    }
    return start_reading(call, new_reading(READ_BODY, http_request_take_body(call->x)), fn, e);
}

err_code call_read_chain(struct call *call, const char *text, size_t len, call_read_fn fn, struct err *e) {
    static const char address[] = "\"image_url\":\"http"; /* as it is written into the database */
    bool named = fetches(call) && mem_find(text, len, address, strlen(address)) != NULL;
    if (len <= CALL_READ_AT_ONCE && !named) return read_chain(call->api, text, len, &call->request, e);
    struct buf copy;
    buf_init(&copy, SIZE_MAX - 1);
    buf_append(&copy, text, len);
    if (named) return start_fetching(call, READ_CHAIN, copy, fn, e);
    return start_reading(call, new_reading(READ_CHAIN, copy), fn, e);
}

/* Bytes of the schemas that become a grammar. */
static size_t form_size(const struct api_request *r) {
    size_t n = r->schema != NULL ? strlen(r->schema) : 0;
    for (size_t i = 0; i < r->n_tools && r->tool_choice != API_TOOLS_NONE; i++)
        n += r->tools[i].parameters != NULL ? strlen(r->tools[i].parameters) : 0;
    return n;
}

err_code call_read_form(struct call *call, call_read_fn fn, struct err *e) {
    if (form_size(&call->request) <= CALL_FORM_AT_ONCE) return call_prompt_form(&call->request, &call->output, &call->form, e);
    struct buf none;
    buf_init(&none, 1);
    struct call_reading *j = new_reading(READ_FORM, none);
    j->output = call->output;
    j->output.format = toolcall_format_copy(call->output.format);
    return start_reading(call, j, fn, e);
}

err_code call_read_tokens(struct call *call, call_read_fn fn, struct err *e) {
    if (call->api->work != API_WORK_TOKENS || call->answer.tokens.n <= CALL_WRITE_AT_ONCE || call->written.len > 0) return ERR_OK;
    struct buf out;
    buf_init(&out, SIZE_MAX - 1);
    struct call_reading *j = new_reading(READ_TOKENS, out);
    j->tokens = call->answer.tokens;
    call->answer.tokens = (struct api_tokens){0};
    return start_reading(call, j, fn, e);
}

void call_read_cancel(struct call *call) {
    if (call->reading == NULL) return;
    call->reading->call = NULL;
    call->reading = NULL;
}
