/* SPDX-License-Identifier: MIT
 * See backends.h. */
#include "engine/backends.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "os/runtime.h"

#define PREFIX "libggml-"
#define CPU    PREFIX "cpu"
#define BASE   "libggml-base.so."

enum { PATH_SIZE = 4096, VERSION_SIZE = 32 };

/* Modules that compute in RAM. Every other one is a GPU's, except RPC, which reaches other machines in a way of its own. */
static const char *const in_ram[] = {"blas", "zendnn"};

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Is this file the module libggml-NAME.so, or for "cpu" a variant of it, libggml-cpu-VARIANT.so? */
static bool is_module(const char *file, const char *name) {
    size_t len = strlen(name);
    if (strncmp(file, PREFIX, strlen(PREFIX)) != 0 || strncmp(file + strlen(PREFIX), name, len) != 0) return false;
    const char *rest = file + strlen(PREFIX) + len;
    size_t left = strlen(rest);
    return strcmp(rest, ".so") == 0 || (strcmp(name, "cpu") == 0 && *rest == '-' && left > 4 && strcmp(rest + left - 3, ".so") == 0);
}

static bool is_cpu(const char *file) { return is_module(file, "cpu"); }

static bool is_in_ram(const char *file) {
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(in_ram); i++) found |= is_module(file, in_ram[i]);
    return found;
}

static bool is_gpu(const char *file) {
    size_t len = strlen(file);
    bool module = strncmp(file, PREFIX, strlen(PREFIX)) == 0 && len > strlen(PREFIX) + 3 && strcmp(file + len - 3, ".so") == 0;
    return module && !is_cpu(file) && !is_in_ram(file) && !is_module(file, "rpc") && !is_module(file, "base");
}

/* Calls fn with the path of each file that `is` accepts, in the order of their names. Returns how many there are; -1: no folder. */
static int each_module(const char *dir, bool (*is)(const char *file), void (*fn)(void *user, const char *path), void *user) {
    struct dirent **files;
    int n = scandir(dir, &files, NULL, alphasort), found = 0;
    for (int i = 0; i < n; i++) {
        char path[PATH_SIZE];
        bool fits = is(files[i]->d_name) && snprintf(path, sizeof(path), "%s/%s", dir, files[i]->d_name) < (int)sizeof(path);
        if (fits && fn != NULL) fn(user, path);
        found += fits;
        free(files[i]);
    }
    if (n >= 0) free(files);
    return n < 0 ? -1 : found;
}

/* ---- loading ---- */

struct best {
    char path[PATH_SIZE];
    int score;
};

/* A variant scores 0 on a processor that cannot run it. A build with one variant only has no score. */
static void weigh(void *user, const char *path) {
    struct best *b = user;
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol;
    if (module == NULL) {
        log_debug("engine", "%s", dlerror());
        return;
    }
    int (*score)(void);
    symbol = dlsym(module, "ggml_backend_score");
    memcpy(&score, &symbol, sizeof(score));
    int points = symbol != NULL ? score() : 1;
    if (points > b->score) snprintf(b->path, sizeof(b->path), "%s", path);
    if (points > b->score) b->score = points;
    dlclose(module);
}

/* A backend that finds no device at all fails to load. That is nothing to tell of, unless the user has named it. user: the folder whose
 * modules of the same name are loaded instead; NULL: none. */
static void load(void *user, const char *path) {
    const char *besides = user;
    char other[PATH_SIZE];
    bool twice = besides != NULL && *besides != '\0' &&
                 snprintf(other, sizeof(other), "%s/%s", besides, last_part(path)) < (int)sizeof(other) && access(other, F_OK) == 0;
    if (twice || ggml_backend_load(path) == NULL) log_debug("engine", "the backend \"%s\" is not used", path);
}

/* The loader knows what a module lacks; ggml only tells its log. */
static void load_named(void *user, const char *path) {
    struct err *first = user, e = {0};
    if (dlopen(path, RTLD_NOW | RTLD_LOCAL) == NULL) {
        err_set(&e, ERR_UNAVAILABLE, "the backend \"%s\" cannot be loaded: %.300s", path, dlerror());
        err_hint(&e, "`ldd %s` shows which libraries it lacks; LD_LIBRARY_PATH names their folders", path);
    } else if (ggml_backend_load(path) == NULL) {
        err_set(&e, ERR_UNAVAILABLE, "the backend \"%s\" finds no device here", path);
        err_hint(&e, "the device's own driver is missing, or another version than the backend needs");
    } else return;
    log_warn("engine", "%s", e.text);
    if (first->code == ERR_OK) *first = e;
}

void engine_backends_load_cpu(const char *dir) {
    struct best b = {.score = 0};
    each_module(dir, is_cpu, weigh, &b);
    if (b.score > 0) load(NULL, b.path);
    each_module(dir, is_in_ram, load, NULL);
}

void engine_backends_load_named(const char *dir, struct err *ret) { each_module(dir, is_gpu, load_named, ret); }

void engine_backends_load_gpus(const char *dir, const char *besides) {
    char folder[PATH_SIZE];
    snprintf(folder, sizeof(folder), "%s", besides);
    each_module(dir, is_gpu, load, folder);
}

bool engine_backends_has_gpu(const char *dir) { return *dir == '\0' || each_module(dir, is_gpu, NULL, NULL) > 0; }

/* ggml doesn't say which module a backend came from. Its functions do. */
void engine_backends_variant(char *ret, size_t size) {
    char path[PATH_SIZE];
    ggml_backend_dev_t dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_reg_t reg = dev != NULL ? ggml_backend_dev_backend_reg(dev) : NULL;
    void *symbol = reg != NULL ? ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads") : NULL;
    void (*function)(void);
    memcpy(&function, &symbol, sizeof(function));
    const char *file = symbol != NULL && os_code_path(function, path, sizeof(path)) ? last_part(path) : "";
    bool variant = is_cpu(file) && file[strlen(CPU)] == '-';
    const char *name = variant ? file + strlen(CPU) + 1 : "";
    snprintf(ret, size, "%.*s", variant ? (int)(strlen(name) - strlen(".so")) : 0, name);
}

/* ---- checking ---- */

static bool is_version(const char *text) {
    size_t dots = 0, len = strlen(text);
    for (const char *p = text; *p != '\0'; p++) dots += *p == '.';
    return dots == 2 && len >= 5 && len < VERSION_SIZE && strspn(text, "0123456789.") == len && strstr(text, "..") == NULL &&
           text[0] != '.' && text[len - 1] != '.';
}

static bool is_base(const char *file) { return strncmp(file, BASE, strlen(BASE)) == 0 && is_version(file + strlen(BASE)); }

/* Takes another version than ours, if there is any. */
static void take_version(void *user, const char *path) {
    char *version = user;
    const char *found = last_part(path) + strlen(BASE);
    if (*version == '\0' || strcmp(version, ggml_version()) == 0) snprintf(version, VERSION_SIZE, "%s", found);
}

static void take_name(void *user, const char *path) {
    char *name = user;
    if (*name == '\0') snprintf(name, VERSION_SIZE, "%s", last_part(path));
}

err_code engine_backends_check(const char *dir, struct err *e) {
    char version[VERSION_SIZE] = "", name[VERSION_SIZE] = "", real[PATH_SIZE];
    int n = each_module(dir, is_gpu, take_name, name);
    if (n < 0) return err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read the folder of backends \"%s\"", dir);
    if (n == 0) {
        err_set(e, ERR_INVALID, "there is no backend in \"%s\"", dir);
        err_hint(e, "it must hold modules of ggml for devices, such as libggml-cuda.so");
        return ERR_INVALID;
    }
    each_module(dir, is_base, take_version, version);
    if (*version == '\0' && snprintf(real, sizeof(real), "%s", dir) < (int)sizeof(real)) {
        for (size_t len = strlen(real); len > 1 && real[len - 1] == '/';) real[--len] = '\0';
        if (is_version(last_part(real))) snprintf(version, sizeof(version), "%s", last_part(real));
    }
    if (strcmp(version, ggml_version()) == 0) return ERR_OK;
    if (*version == '\0') err_set(e, ERR_INVALID, "cannot tell which ggml the backend \"%s\" in \"%s\" was built with", name, dir);
    else
        err_set(e, ERR_INVALID, "the backend \"%s\" in \"%s\" was built with ggml %s, and this program has %s", name, dir, version,
                ggml_version());
    err_hint(e, "build it from ggml %s, and leave libggml-base.so.%s of that build beside it (or name the folder %s)", ggml_version(),
             ggml_version(), ggml_version());
    return ERR_INVALID;
}
