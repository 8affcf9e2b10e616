/* SPDX-License-Identifier: MIT
 * Fetches a model from a hub into a folder, for `caravan pull` and for a node whose API is asked to: lists the files (pull/hub), downloads
 * them one after the other (http/download), and looks at the header, since what is published may be no model. Blocking, in the calling
 * thread; several threads may fetch at a time. What is on the way when it is stopped goes on there the next time. It shows nothing: the
 * caller's functions do. */
#ifndef CARAVAN_PULL_FETCH_H
#define CARAVAN_PULL_FETCH_H

#include "http/download.h"
#include "model/gguf.h"
#include "pull/hub.h"

/* What happens, in the fetching thread. Each may be NULL. */
struct fetch_events {
    void (*begins)(void *user, const struct hub_file *f); /* a file is asked for now */
    void (*progress)(void *user, const struct http_download_progress *p);
    web_waiting_fn waits;
    void (*is_there)(void *user, const char *path); /* it was there already */
    void (*came)(void *user, const char *path, const struct http_download_result *got);
};

struct fetch_job {
    const char *name; /* as hub_ref_parse reads it */
    const char *dir;  /* the folder */
    const char *hf_endpoint, *ollama_registry; /* mirrors; hf_endpoint "": $HF_ENDPOINT, else Hugging Face. $HF_TOKEN goes to it alone */
    uint32_t connections;
    const atomic_int *stop; /* as in http/web.h; may be NULL */
    const struct fetch_events *events;
    void *user; /* of the events */
};

/* *ret_path: the model's first file; the caller frees it. Errors: those of hub_ref_parse, web_get, http_download and model_gguf_open;
 * ERR_INVALID: another file has the name of one that is published. Hints are in the hub's own terms. */
err_code fetch_model(const struct fetch_job *f, char **ret_path, struct err *e);
/* Only the header, into memory: the beginnings of the model's files. `dir` and `connections` are not used. Errors: those of hub_ref_parse
 * and web_get; ERR_FORMAT: it is no model. */
err_code fetch_header(const struct fetch_job *f, struct model_gguf **ret, struct err *e);

#endif
