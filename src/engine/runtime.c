/* SPDX-License-Identifier: MIT */
#include "engine/runtime.h"

#include <llama.h>
#include <mtmd-helper.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "engine/backends.h"
#include "os/runtime.h"

#define MIB     (1024.0 * 1024.0)
#define MAX_MIB 1e9

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool started, gpus_started;

static char abort_text[256];
static _Thread_local char complaint[256];
static _Thread_local struct engine_tally tally;
static _Thread_local struct {
    char names[ENGINE_MAX_USED][sizeof(tally.on[0].device)];
    uint32_t n;
} joined;

static void tally_device(const char *name, uint64_t bytes) {
    uint32_t i = 0;
    while (i < tally.n_on && strcmp(tally.on[i].device, name) != 0) i++;
    if (i == ENGINE_MAX_USED) return;
    if (i == tally.n_on) snprintf(tally.on[tally.n_on++].device, sizeof(tally.on[i].device), "%s", name);
    tally.on[i].bytes += bytes;
}

/* Adds to the GPU whose name ends at `end`: "load_tensors:      Vulkan0 model buffer size = 12.00 MiB". Other buffers are in RAM, also
 * those that a GPU reads from there ("Vulkan_Host"). Returns how many devices have so many bytes. */
static uint32_t tally_gpu(const char *line, const char *end, uint64_t bytes) {
    const char *begin = end;
    char name[sizeof(tally.on[0].device)];
    while (begin > line && begin[-1] != ' ') begin--;
    if (snprintf(name, sizeof(name), "%.*s", (int)(end - begin), begin) >= (int)sizeof(name)) return 1;
    ggml_backend_dev_t dev = ggml_backend_dev_by_name(name);
    bool all = dev == NULL && strncmp(name, "Meta(", 5) == 0;
    for (uint32_t i = 0; all && i < joined.n; i++) tally_device(joined.names[i], bytes);
    if (dev != NULL && ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_CPU) tally_device(name, bytes);
    return all && joined.n > 0 ? joined.n : 1;
}

/* libllama has no call that returns the memory it allocated, but logs it at load: "<who>: <device> KV buffer size = 12.00 MiB". What its
 * caches take in all it logs also when it allocates nothing: "<who>: size = 12.00 MiB ( 4096 cells, ...". */
static void tally_line(const char *line) {
    static const struct {
        const char *words, *also;
        size_t field;
    } kinds[] = {
        {" model buffer size = ", "", offsetof(struct engine_tally, weights)},
        {" KV buffer size = ", "", offsetof(struct engine_tally, kv)},
        {" RS buffer size = ", "", offsetof(struct engine_tally, kv)},
        {" state buffer size = ", "", offsetof(struct engine_tally, kv)},
        {" size = ", " cells, ", offsetof(struct engine_tally, kv_laid_out)},
        {" compute buffer size = ", "", offsetof(struct engine_tally, compute)},
        {" output buffer size = ", "", offsetof(struct engine_tally, compute)},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *at = strstr(line, kinds[i].also) != NULL ? strstr(line, kinds[i].words) : NULL;
        double mib = at != NULL ? strtod(at + strlen(kinds[i].words), NULL) : 0; /* any number of blanks before it */
        if (!(mib > 0 && mib < MAX_MIB)) continue;
        uint64_t *sum = (uint64_t *)(void *)((char *)&tally + kinds[i].field);
        *sum += (uint64_t)(mib * MIB) * tally_gpu(line, at, (uint64_t)(mib * MIB));
    }
}

/* The words after "function: ", without the end of the line. libllama says last that it failed, which is no reason. */
static void keep_complaint(const char *text, size_t len) {
    if (complaint[0] != '\0' && strstr(text, "failed to load model") != NULL) return;
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
        char path[4096];
        if (*backends != '\0' && os_runtime_path(backends, path, sizeof(path))) backends = path;
        llama_log_set(on_log, NULL);
        mtmd_helper_log_set(on_log, NULL);
        ggml_set_abort_callback(on_abort);
        if (*backends == '\0') ggml_backend_load_all();
        else if (!has_cpu()) engine_backends_load_cpu(backends); /* else all backends are part of the library */
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

void engine_runtime_gpus(const char *backends, const char *more, struct err *ret_trouble) {
    char path[4096];
    struct err trouble = {0};
    pthread_mutex_lock(&start_lock);
    if (!gpus_started && *more != '\0')
        engine_backends_load_named(more, &trouble); /* first: libllama takes a card from the first that has it */
    if (!gpus_started && *backends != '\0')
        engine_backends_load_gpus(os_runtime_path(backends, path, sizeof(path)) ? path : backends, more);
    if (ret_trouble != NULL) *ret_trouble = trouble;
    gpus_started = true;
    pthread_mutex_unlock(&start_lock);
}

static const char *type_name(enum ggml_backend_dev_type type) {
    switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_CPU: return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU: return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU: return "igpu";
    default: return "accel";
    }
}

/* Drivers that compute on the processor what a GPU would. */
static bool is_software(const char *description) {
    static const char *const names[] = {"llvmpipe", "lavapipe", "softpipe", "SwiftShader", "Microsoft Basic Render"};
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) found |= strstr(description, names[i]) != NULL;
    return found;
}

bool engine_device_is_unified(const char *backend, const char *description) {
    static const struct {
        const char *backend, *word;
    } unified[] = {{"MTL", "Apple"}, {"Metal", "Apple"}, {"CUDA", "Orin"}, {"CUDA", "Thor"}, {"CUDA", "GB10"}}; /* the last: DGX Spark */
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(unified); i++)
        found |= strcmp(backend, unified[i].backend) == 0 && strstr(description, unified[i].word) != NULL;
    return found;
}

static void device_describe(ggml_backend_dev_t dev, struct engine_device *ret) {
    struct ggml_backend_dev_props props;
    ggml_backend_dev_get_props(dev, &props);
    snprintf(ret->name, sizeof(ret->name), "%s", ggml_backend_dev_name(dev));
    snprintf(ret->description, sizeof(ret->description), "%s", ggml_backend_dev_description(dev));
    snprintf(ret->type, sizeof(ret->type), "%s", type_name(ggml_backend_dev_type(dev)));
    snprintf(ret->backend, sizeof(ret->backend), "%s", ggml_backend_reg_name(ggml_backend_dev_backend_reg(dev)));
    snprintf(ret->pci, sizeof(ret->pci), "%s", props.device_id != NULL ? props.device_id : "");
    ret->software = is_software(ret->description);
    if (engine_device_is_unified(ret->backend, ret->description)) snprintf(ret->type, sizeof(ret->type), "igpu");
}

size_t engine_devices(struct engine_device *ret, size_t max) {
    size_t n = ggml_backend_dev_count();
    for (size_t i = 0; i < n && i < max; i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        size_t free_bytes = 0, total_bytes = 0;
        ggml_backend_dev_memory(dev, &free_bytes, &total_bytes);
        device_describe(dev, &ret[i]);
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
    joined.n = 0;
}

void engine_runtime_join(const char *const *names, uint32_t n) {
    for (joined.n = 0; joined.n < n && joined.n < ENGINE_MAX_USED; joined.n++)
        snprintf(joined.names[joined.n], sizeof(joined.names[0]), "%s", names[joined.n]);
}

struct engine_tally engine_runtime_tally(void) { return tally; }

const char *engine_runtime_version(void) { return llama_version(); }

const char *engine_runtime_ggml(void) { return ggml_version(); }
