/* SPDX-License-Identifier: MIT
 * Model hubs: reads the names that people write (hf:OWNER/REPO:QUANT, ollama:NAME:TAG, an address), and turns a hub's answer into the
 * files to fetch. A sans-I/O core: it says which document to ask for, and reads it; http/web.h and http/download.h fetch. A hub's answer
 * is foreign bytes. Plain values, any thread. */
#ifndef CARAVAN_PULL_HUB_H
#define CARAVAN_PULL_HUB_H

#include "base/buf.h"
#include "base/err.h"

enum { HUB_MAX_FILES = 4096, HUB_MAX_PARTS = 512, HUB_MAX_NAME = 200, HUB_MAX_ADDRESS = 2048 };

enum hub_kind { HUB_HF, HUB_OLLAMA, HUB_URL };
struct hub_ref {
    enum hub_kind kind;
    char repo[HUB_MAX_NAME];     /* HF: "OWNER/REPO"; OLLAMA: "NAMESPACE/NAME" */
    char revision[HUB_MAX_NAME]; /* HF: a branch, tag or commit */
    char tag[HUB_MAX_NAME];      /* HF: a quantisation, or a part of a file's name; "": the default one. OLLAMA: the tag */
    char url[HUB_MAX_ADDRESS];   /* URL */
};
/* hf:OWNER/REPO[@REVISION][:QUANT], ollama:[NAMESPACE/]NAME[:TAG], http(s)://..., or the address of a repository's page. ERR_INVALID
 * names the fault and the possible forms. */
err_code hub_ref_parse(const char *text, struct hub_ref *ret, struct err *e);

/* One file to fetch. */
struct hub_file {
    char name[HUB_MAX_NAME]; /* the name to store it under: no folder, ends in ".gguf" */
    char url[HUB_MAX_ADDRESS];
    uint64_t size;   /* 0: not known */
    char sha256[65]; /* hex; "": not published */
};
struct hub_files {
    struct hub_file *files; /* owned; the parts of one model, in order, then its projector if it has one ("mmproj-NAME.gguf") */
    size_t n;
};
void hub_files_done(struct hub_files *f);

/* The address of the document that lists the files. Not for HUB_URL. base: the hub's address, without a final slash. */
void hub_list_url(const struct hub_ref *r, const char *base, char ret[HUB_MAX_ADDRESS]);
/* The Accept header for that document. */
const char *hub_list_accept(const struct hub_ref *r);

/* Hugging Face's list of a repository's files, a page at a time (JSON). */
struct hub_listing;
struct hub_listing *hub_listing_create(void);
void hub_listing_free(struct hub_listing *l);
err_code hub_listing_add(struct hub_listing *l, const char *json, size_t len, struct err *e);
/* Picks the model's files: those that the tag names, else the usual quantisation. ERR_NOT_FOUND lists the files that there are. */
err_code hub_listing_pick(const struct hub_listing *l, const struct hub_ref *r, const char *base, struct hub_files *ret, struct err *e);

/* Ollama's manifest of one model (JSON). */
err_code hub_manifest_read(const struct hub_ref *r, const char *base, const char *json, size_t len, struct hub_files *ret, struct err *e);

/* A plain address: that file alone, or all parts of "...-00001-of-00003.gguf". */
err_code hub_url_files(const struct hub_ref *r, struct hub_files *ret, struct err *e);

#endif
