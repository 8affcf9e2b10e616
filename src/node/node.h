/* SPDX-License-Identifier: MIT
 * A node: everything that one `caravan up` is. It owns the loop, the one port, the control links, the stage children, the weights server,
 * the models that it coordinates, and the gateway; it connects them with each other; the decisions are made by the cores below.
 * One thread (the caller's), which node_run blocks. No weights are ever in this process. */
#ifndef CARAVAN_NODE_NODE_H
#define CARAVAN_NODE_NODE_H

#include "base/err.h"
#include "coordinator/view.h"
#include "engine/params.h"
#include "io/sock.h"
#include "trace/exporter.h"
#include "wire/stage.h"

struct gateway_key;
struct endpoint_cache_options;
struct uploads_options;

enum { NODE_MAX_PEERS = 64 };

struct node_config {
    const char *program;       /* path of this binary, for stage children */
    const char *name;          /* what people call this node; NULL: the host's name */
    const char *model;         /* GGUF to serve at once; NULL: none */
    struct io_addr listen;     /* the one port; port 0: the kernel chooses */
    struct io_addr api;        /* the gateway; port 0: the kernel chooses */
    const struct gateway_key *api_keys; /* gateway/keys.h */
    size_t n_api_keys;
    struct io_addr peers[NODE_MAX_PEERS];
    size_t n_peers;
    const char *placement;     /* as the user wrote it: of the model, and of others for which nothing else is said */
    uint32_t replicas;         /* of model; 0: as many as its load needs */
    struct coordinator_tuning tuning; /* when copies come and go */
    bool wake;                 /* machines that are asleep are woken when a model needs them */
    const char *replan;        /* "auto" or "never": of models for which nothing else is said */
    bool load_on_demand;       /* a model that is asked for and not loaded is loaded */
    uint32_t queue;            /* requests that may wait for each instance, beside those that it answers */
    uint64_t memory;           /* bytes of RAM offered; 0: what is free now, less a reserve */
    uint64_t gpu_memory;       /* the most that each GPU offers; 0: what is free there, less a part */
    struct engine_load load;   /* how stages load their slices (n_ctx, n_seq, threads, ...) */
    uint8_t dtype;             /* hidden states on the wire: enum frame_dtype */
    bool dtype_auto;           /* the plan chooses it, unless answers are to be exact */
    struct stage_options options; /* as they go to the stages */
    const char *draft;         /* a small model that guesses; "": none */
    const char *lora;          /* adapters of the model, as model_adapters_parse reads them; "": none */
    const char *mmproj;        /* the projector of the model; "": the one beside it */
    const char *key_file;
    const char *state;         /* file of the stored responses; NULL: none outlives the process */
    int64_t retention_s;       /* 0: they are kept for ever */
    const struct endpoint_cache_options *answers; /* the response cache (endpoint/server.h); NULL: there is none */
    const struct uploads_options *uploads; /* of API clients (batch/uploads.h); NULL: none are kept */
    uint32_t replay_s;         /* a request that lost its place waits so long for another one; 0: it fails */
    size_t capture;            /* bytes for the bodies of requests and answers; 0: none are kept */
    const char *routes;        /* the routes file (gateway/aliases.h); NULL: none */
    bool routes_needed;        /* it was named: it must be there, and SIGHUP reads it again */
    struct trace_options traces; /* without node and version */
    const char *log;           /* of this node, for its API; NULL: it is not kept */
    const char *fetch_images;  /* endpoint/server.h */
    const char *cors_origin;   /* endpoint/server.h */
    const char *state_dir;     /* folder for what must last, ending in '/'; NULL: nothing is kept, and the identity is a passing one */
    bool discovery;            /* look for other nodes of the cluster on the network, and be found */
    const char *const *interfaces; /* where discovery looks; n_interfaces 0: on all */
    size_t n_interfaces;
    const char *cache;         /* folder for fetched weights */
    uint64_t cache_limit;      /* bytes that they may take; 0: what the disk has */
    const char *prefixes;      /* folder for kept sequences */
    uint64_t prefixes_limit;   /* bytes that they may take; 0: none are kept */
    const char *models_dir;    /* folder of this machine's models; NULL: none */
    const char *hf_endpoint, *ollama_registry; /* mirrors of hubs (pull/fetch.h) */
    uint32_t connections;      /* ranges of a file that are fetched from a hub at once */
    const char *profile;       /* file in which this machine's measurements are kept; NULL: it isn't measured */
    int ready_fd;              /* a line of JSON {"api": port, "listen": port} is written here once both listen; -1: none */
};

/* Runs a node until SIGTERM, SIGINT or SIGHUP (drains; a second one ends it at once). ERR_OK after an orderly end. */
err_code node_run(const struct node_config *config, struct err *e);

#endif
