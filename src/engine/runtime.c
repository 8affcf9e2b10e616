/* SPDX-License-Identifier: MIT */
#include "engine/runtime.h"

#include <llama.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define MIB     (1024.0 * 1024.0)
#define MAX_MIB 1e9

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;

static char abort_text[256];
static _Thread_local char complaint[256];
static _Thread_local struct engine_tally tally;

/* libllama has no call that returns the memory it allocated, but logs it at load: "<who>: <device> KV buffer size = 12.00 MiB". */
static void tally_line(const char *line) {
    static const struct {
        const char *words;
        size_t field;
    } kinds[] = {
        {" model buffer size = ", offsetof(struct engine_tally, weights)},
        {" KV buffer size = ", offsetof(struct engine_tally, kv)},
        {" RS buffer size = ", offsetof(struct engine_tally, kv)},
        {" compute buffer size = ", offsetof(struct engine_tally, compute)},
        {" output buffer size = ", offsetof(struct engine_tally, compute)},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *at = strstr(line, kinds[i].words);
        double mib = at != NULL ? strtod(at + strlen(kinds[i].words), NULL) : 0; /* any number of blanks before it */
        if (!(mib > 0 && mib < MAX_MIB)) continue;
        uint64_t *sum = (uint64_t *)(void *)((char *)&tally + kinds[i].field);
        *sum += (uint64_t)(mib * MIB);
    }
}

/* The words after "function: ", without the end of the line. */
static void keep_complaint(const char *text, size_t len) {
    const char *colon = strstr(text, ": ");
    size_t skip = colon != NULL && strcspn(text, " ") > (size_t)(colon - text) ? (size_t)(colon - text) + 2 : 0;
    if (skip < len) snprintf(complaint, sizeof(complaint), "%.*s", (int)(len - skip), text + skip);
}

static void on_log(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) len--;
    if (len == 0 || (level == GGML_LOG_LEVEL_CONT && len <= 1)) return;
    if (level == GGML_LOG_LEVEL_ERROR) keep_complaint(text, len);
    tally_line(text);
    log_debug("llama", "%.*s", (int)len, text);
}

/* libllama is about to abort(). The message begins with the path of a source file of the machine that libllama was built on. */
static void on_abort(const char *message) {
    const char *at = message;
    for (const char *p = message; *p != '\0' && *p != ' '; p++)
        if (*p == '/') at = p + 1;
    snprintf(abort_text, sizeof(abort_text), "%s", at);
    log_error("llama", "abort: %s", at);
}

static bool has_cpu(void) { return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != NULL; }

err_code engine_runtime_start(const char *backends, struct err *e) {
    err_code code = ERR_OK;
    pthread_mutex_lock(&start_lock);
    if (!started) {
        llama_log_set(on_log, NULL);
        ggml_set_abort_callback(on_abort);
        if (*backends != '\0') ggml_backend_load_all_from_path(backends);
        else ggml_backend_load_all();
        if (has_cpu()) {
            llama_backend_init();
            started = true;
        } else {
            code = err_set(e, ERR_UNAVAILABLE, "no ggml CPU backend in \"%s\"", *backends != '\0' ? backends : "the system's folder");
            err_hint(e, "the folder must hold ggml's backend modules (libggml-cpu-*.so)");
        }
    }
    pthread_mutex_unlock(&start_lock);
    return code;
}

static const char *type_name(enum ggml_backend_dev_type type) {
    switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_CPU: return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU: return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU: return "igpu";
    default: return "accel";
    }
}

size_t engine_devices(struct engine_device *ret, size_t max) {
    size_t n = ggml_backend_dev_count();
    for (size_t i = 0; i < n && i < max; i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        size_t free_bytes = 0, total_bytes = 0;
        ggml_backend_dev_memory(dev, &free_bytes, &total_bytes);
        snprintf(ret[i].name, sizeof(ret[i].name), "%s", ggml_backend_dev_name(dev));
        snprintf(ret[i].description, sizeof(ret[i].description), "%s", ggml_backend_dev_description(dev));
        snprintf(ret[i].type, sizeof(ret[i].type), "%s", type_name(ggml_backend_dev_type(dev)));
        ret[i].memory_free = free_bytes;
        ret[i].memory_total = total_bytes;
    }
    return n;
}

const char *engine_runtime_complaint(void) { return complaint; }

const char *engine_runtime_abort(void) { return abort_text; }

void engine_runtime_clear(void) {
    complaint[0] = '\0';
    memset(&tally, 0, sizeof(tally));
}

struct engine_tally engine_runtime_tally(void) { return tally; }

const char *engine_runtime_version(void) { return llama_version(); }
