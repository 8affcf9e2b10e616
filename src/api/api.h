/* SPDX-License-Identifier: MIT
 * The APIs of the gateway share one internal request and one internal stream of events. Each API is a pair of pure translations: from its
 * JSON to the request, and from the events to its JSON or its stream. No I/O, no clock. A new API is one file with one struct api, and
 * rows in tables/routes.def. */
#ifndef CARAVAN_API_API_H
#define CARAVAN_API_API_H

#include "base/arena.h"
#include "base/json.h"
#include "engine/template.h"
#include "chat/text.h"
#include "chat/toolcall.h"
#include "wire/request.h"

enum {
    API_MAX_CHOICES = 128,     /* n times the number of prompts */
    API_MAX_STOPS = 16,
    API_MAX_STOP_LEN = 4096,   /* bytes of one stop string */
    API_MAX_MODEL_NAME = 512,
    API_MAX_PROMPT_TOKENS = 4 * 1024 * 1024,
};

/* ---- the request ---- */

/* Gets the file at an address: into *ret, which is initialised, and bounded, by the caller. It blocks. ERR_INVALID: the client's fault. */
struct api_fetch {
    err_code (*get)(void *user, const char *url, struct buf *ret, struct err *e);
    void *user;
};

struct api_prompt {
    const char *text;              /* may hold NUL; NULL: tokens */
    size_t len;
    const int32_t *tokens;
    size_t n_tokens;
    bool has_bos;                  /* no begin-of-text token is put before the text: it has one, or shall have none */
    bool control_is_text;          /* the texts of control tokens are ordinary text */
};

enum api_tool_choice { API_TOOLS_AUTO, API_TOOLS_NONE, API_TOOLS_REQUIRED, API_TOOLS_NAMED };
enum api_format { API_FORMAT_TEXT, API_FORMAT_JSON, API_FORMAT_SCHEMA };

struct api_request {
    struct arena *arena;           /* owns everything that the pointers below point at */
    const char *model;             /* "" when the client named none */
    /* A chat, whatever API it came by, in the form that chat/render.h takes (OpenAI's): arrays, and an object of further variables for
     * the template ("enable_thinking"). The model's template makes it prompts[0]. All in `doc`, which the request owns; NULL: none.
     * parse.h makes them. */
    yyjson_mut_doc *doc;
    yyjson_mut_val *chat, *chat_tools, *chat_extra;
    struct request_media *media;   /* pictures and sounds, whose marks stand in the chat (api/media.h); NULL: none */
    uint32_t n_media;
    struct toolcall_tool *tools;   /* the same tools as chat_tools */
    size_t n_tools;
    enum api_tool_choice tool_choice;
    const char *tool_name;         /* NAMED */
    bool old_functions;            /* the client sent "functions", and gets a call as "function_call" */
    bool has_custom;               /* one of the tools is of type custom (api/custom.h) */
    bool unchecked;                /* the client asked for a form of text that nothing enforces: the answer says so */
    bool single_tool;              /* at most one call in an answer */
    enum api_format format;
    const char *schema;            /* SCHEMA: JSON text */
    bool strict;                   /* an answer that doesn't fit it is an error */
    const char *format_field;      /* the client's field that asked for the format, for errors */
    struct api_prompt *prompts;    /* or prompts as they are: to continue, to embed, to rank, to convert */
    size_t n_prompts;
    struct api_prompt *query;      /* the prompts are ranked by how well they answer it; NULL: they are not ranked */
    bool with_pieces;              /* the client wants the bytes of each token */
    const char *suffix;            /* the text after the gap that the model fills; may hold NUL; NULL: none */
    size_t suffix_len;
    const char *suffix_field;      /* the client's field that holds it, for errors */
    uint32_t n;                    /* choices for each prompt */
    int32_t max_tokens;            /* -1: as many as the context holds; 0: the prompt is only read */
    bool stream, include_usage, stats;
    bool echo, logprobs, ignore_eos;
    bool scores;                   /* with echo: the tokens of the prompt are answered, too, each with its log probability */
    bool continues;                /* the last message is an assistant's, and the model continues its text */
    const char *begun; /* with continues: that message is the beginning of the answer itself, which another place has written */
    size_t begun_len;
    bool truncates; /* if the chat is too long, its oldest turns are dropped */
    bool no_generation_prompt; /* the prompt ends with the last message */
    struct text_stop *stops;
    size_t n_stops;
    bool has_seed;
    struct engine_sampling sampling;
    const char *previous; /* the stored response that this request continues; NULL: none */
    bool store; /* the answer is stored, together with `input`: the request's items as JSON text */
    const char *input;
    bool has_keep; /* the client set keep_s: the model is unloaded after so many idle seconds; negative: never */
    int32_t keep_s;
    void *extra; /* the API's own; in the arena */
    bool may_leave; /* an upstream may answer it: set before parsing, which then keeps `sent` */
    yyjson_doc *sent; /* the client's body; owned. NULL: not kept */
    const struct api_fetch *fetch; /* gets pictures from addresses; NULL: nothing does */
    bool may_fetch; /* with fetch NULL: parse once more with it, in a thread, if wants_fetch is true after a failure */
    bool wants_fetch, has_fetched; /* it has pictures at addresses */
    struct err *only_upstream; /* why only an upstream can answer it; in the arena. NULL: models of the cluster can, too */
};
void api_request_init(struct api_request *r);
void api_request_done(struct api_request *r);

/* ---- the events, as an API sees them: text is whole and clean ---- */

struct api_top {
    const char *piece;
    size_t len;
    float logprob;
};
struct api_token { /* for logprobs */
    const char *piece; /* bytes, maybe half a character */
    size_t len;
    float logprob;
    bool unknown; /* the first token of a prompt: it has no log probability */
    uint32_t n_top;
    struct api_top *top;
    size_t text_start, text_end; /* the token's bytes in the choice's text */
    void *block; /* the memory of piece and top; its owner frees it */
};

enum api_event_kind {
    API_BEGIN, /* a choice begins */
    API_TEXT, /* more text of a choice, with the tokens that it came from when logprobs are wanted */
    API_REASONING, /* more of its reasoning */
    API_CALL, /* a tool call begins: call, id, and the name as text */
    API_ARGUMENTS, /* more of that call's arguments */
    API_CALL_END, /* the call ends; whole: its arguments are one JSON object */
    API_FINISH, /* a choice has ended */
    API_PROMPT, /* with echo: the prompt's text, and its tokens when they are wanted; once, before all text of the choice */
    API_END, /* all choices have ended, and the usage is known */
    API_FAIL, /* the stream breaks off: no event comes after this one */
};
enum api_finish { API_FINISH_STOP, API_FINISH_LENGTH, API_FINISH_CALLS };

struct api_usage {
    uint64_t prompt_tokens, completion_tokens, cached_tokens;
    uint64_t draft_tokens, draft_accepted; /* by speculation: guesses that were checked, and those that were right */
    uint64_t mtp_tokens, mtp_accepted;     /* of these, guesses of the model's own layers */
    /* with "caravan_stats": where the time went, of the last choice that ended */
    uint64_t queued_us, prefill_us, decode_us;
    uint64_t expected_us; /* the wait for a place, as predicted when the request came to the queue */
    uint64_t total_us; /* from the request's arrival to its answer */
    uint32_t n_hop;
    struct request_hop hops[REQUEST_MAX_HOPS];
};

struct api_event {
    enum api_event_kind kind;
    uint32_t choice;
    const char *text;
    size_t len, start; /* start: bytes of the choice's text that came before */
    const struct api_token *tokens;
    size_t n_tokens;
    uint32_t call; /* CALL, ARGUMENTS, CALL_END: its number within the choice, from 0 */
    const char *id; /* CALL */
    bool whole; /* CALL_END */
    uint32_t prompt_tokens, cached_tokens; /* BEGIN */
    enum api_finish finish;
    err_code code; /* FAIL */
    const struct err *err;
    const char *request; /* FAIL: as error() takes it */
};

/* ---- the answer in the making: what the translations know besides the event ---- */

struct api_item { /* one part of an answer, in order: text, reasoning or a call */
    enum api_event_kind kind; /* TEXT, REASONING, CALL */
    size_t start, end; /* where it stands in text, reasoning or arguments */
    char *id, *name; /* CALL; owned */
    bool whole; /* CALL: its arguments are one JSON object; else they are only the text of a call that was cut */
};

struct api_choice_text { /* a choice, collected for an answer in one piece and for APIs that keep items */
    struct buf text, reasoning, arguments; /* arguments of all calls, one after another */
    struct api_item *items; /* owned */
    size_t n_items;
    struct api_token *tokens; /* owned array, and its blocks */
    size_t n_tokens, cap_tokens;
    struct buf prompt; /* with echo: the prompt's text */
    size_t n_prompt; /* so many of the tokens are the prompt's; their places count in its text */
    enum api_finish finish;
    const struct text_stop *stop; /* the stop string that ended it; NULL: none did */
    size_t chars; /* text_count of what was given: legacy text_offset */
};

struct api_tokens { /* what a prompt was converted to: tokens, and their bytes one after another */
    int32_t *ids;
    char *bytes;
    uint32_t *ends; /* ends[i]: where the i-th token's bytes end; NULL: there are no bytes */
    size_t n;
};

struct api_answer {
    const struct api_request *request;
    char id[48];
    const char *model, *fingerprint;
    int64_t created, completed; /* seconds since 1970; completed: 0 while it runs */
    struct api_choice_text *choices;
    uint32_t n_choices;
    float **vectors; /* one for each prompt, of n_vector numbers (a rank: of one) */
    uint32_t n_vector;
    struct api_tokens tokens;
    struct api_usage usage;
    bool unloads; /* the request has its model unloaded when it ends */
    struct buf prefix; /* what all chunks of a stream begin with; made by the first */
    size_t open, sequence; /* for streams of items: 1 + the item that is open, or 0; events sent */
};
void api_choice_init(struct api_choice_text *c);
void api_choice_done(struct api_choice_text *c);
/* Takes PROMPT, TEXT, REASONING, CALL, ARGUMENTS and CALL_END; tokens are taken over with their blocks. */
void api_choice_collect(struct api_choice_text *c, const struct api_event *ev);
/* An item's text, reasoning or arguments; never NULL, not terminated. */
const char *api_item_text(const struct api_choice_text *c, const struct api_item *item, size_t *ret_len);
/* The kind of an item for APIs that write a call's arguments as JSON: there a call that was cut is text. */
enum api_event_kind api_item_kind(const struct api_item *item);

/* ---- an API ---- */

/* What is computed for a request. */
enum api_work {
    API_WORK_TEXT, /* the model writes answers */
    API_WORK_COUNT, /* the prompt's tokens are counted: whole() finds their number in the usage */
    API_WORK_PROMPT, /* nothing: whole() finds the prompt in the request */
    API_WORK_VECTORS, /* a vector for each prompt */
    API_WORK_TOKENS, /* a text's tokens, or the text of tokens */
};

struct api {
    const char *name;
    const char *id_prefix;
    enum api_work work;
    const char *stream_type, *whole_type; /* content types */
    const char *ping; /* bytes without meaning, for streams that are silent */
    bool may_be_empty; /* a request without a prompt is answered, not refused */
    bool keeps_items; /* the events of a stream are collected, too, before stream() gets them */
    /* ERR_INVALID etc. names the client's field (err_set_field). Strings go to r's arena. */
    err_code (*parse)(yyjson_val *root, struct api_request *r, struct err *e);
    /* Called with the stored conversation that the request continues (store/store.h says its form; NULL: none). May be NULL. */
    err_code (*resume)(yyjson_val *chain, struct api_request *r, struct err *e);
    /* NULL: its answers are never streamed. */
    void (*stream)(struct api_answer *a, const struct api_event *ev, struct buf *out);
    void (*whole)(struct api_answer *a, struct buf *out);
    /* The body of an error answer. request: its x-request-id; NULL or "": none. */
    void (*error)(err_code code, const struct err *e, const char *request, struct buf *out);
};

/* The HTTP status that clients get for an error. */
int api_error_status(err_code code);
/* Appends the message, its hint included, as a JSON string. */
void api_error_append(err_code code, const struct err *e, struct buf *out);
/* Appends a further member of an object, "request_id"; nothing if there is none. */
void api_error_append_request(const char *request, struct buf *out);

/* The APIs: those of the routes. */
#define CALL(method, path, id, auth, help) extern const struct api api_##id;
#define ROUTE(method, path, handler, auth, help)
#define UPLOAD(method, path, handler, auth, help)
#define NODE_ROUTE(method, path, id, auth, help)
#include "../../tables/routes.def"
#undef CALL
#undef ROUTE
#undef UPLOAD
#undef NODE_ROUTE

#endif
