/* SPDX-License-Identifier: MIT
 * `caravan doctor`: the devices that ggml lists, and the GPUs of this machine, which of them it lists, and what the others lack. Drivers
 * are loaded in a child process: a broken one shall be found, not end the report. */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/backends.h"
#include "engine/runtime.h"
#include "os/gpus.h"
#include "os/runtime.h"
#include "show/doctor.h"

enum { MAX_DEVICES = 16, MAX_DRIVERS = 32, LOOK_MS = 30000 /* a driver takes seconds at most */ };

/* What the child writes. */
struct look {
    struct err trouble, backends;
    size_t n;
    struct engine_device devices[MAX_DEVICES];
    struct err loads[MAX_DRIVERS]; /* of the drivers, in their order */
};

static const struct {
    uint16_t vendor;
    const char *name, *kernel, *vulkan, *install;
} kinds[] = {
#define GPU_KIND(vendor, name, kernel, vulkan, install) {vendor, name, kernel, vulkan, install},
#include "../../tables/gpus.def"
#undef GPU_KIND
};

/* ---- in the child ---- */

static void look_all(const char *more, const struct os_gpu_driver *drivers, size_t n_drivers, struct look *ret) {
    ret->trouble.code = engine_runtime_start(os_backends_dir, &ret->trouble);
    for (size_t i = 0; i < n_drivers; i++)
        if (dlopen(drivers[i].library, RTLD_LAZY | RTLD_LOCAL) == NULL) err_set(&ret->loads[i], ERR_UNAVAILABLE, "%s", dlerror());
    if (ret->trouble.code != ERR_OK) return;
    engine_runtime_gpus(os_backends_dir, more, &ret->backends);
    ret->n = engine_devices(ret->devices, MAX_DEVICES);
    if (ret->n > MAX_DEVICES) ret->n = MAX_DEVICES;
}

static bool write_all(int fd, const void *data, size_t len) {
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, (const char *)data + at, len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

/* False: the other end was closed too early, or there was nothing to read for too long. */
static bool read_all(int fd, void *data, size_t len, bool *ret_late) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (size_t at = 0; at < len;) {
        int found = poll(&ready, 1, LOOK_MS);
        *ret_late = found == 0;
        if (found < 0 && errno == EINTR) continue;
        if (found <= 0) return false;
        ssize_t n = read(fd, (char *)data + at, len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

/* ---- in the parent ---- */

static void look_apart(const char *more, const struct os_gpu_driver *drivers, size_t n_drivers, struct look *ret) {
    int fds[2], status = 0;
    if (pipe(fds) != 0) {
        ret->trouble.code = err_set_errno(&ret->trouble, ERR_IO, errno, "cannot look at the devices");
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        look_all(more, drivers, n_drivers, ret);
        _exit(write_all(fds[1], ret, sizeof(*ret)) ? 0 : 1);
    }
    close(fds[1]);
    bool late = false, whole = child > 0 && read_all(fds[0], ret, sizeof(*ret), &late);
    close(fds[0]);
    if (late) kill(child, SIGKILL);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (whole) return;
    *ret = (struct look){0};
    if (late) err_set(&ret->trouble, ERR_TIMEOUT, "a driver of a GPU has not answered here for %d s", LOOK_MS / 1000);
    else
        err_set(&ret->trouble, ERR_ENGINE, "a driver of a GPU has crashed here (%s)",
                child > 0 && WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "without a signal");
    err_hint(&ret->trouble, "update the drivers of the GPUs; until then: caravan up --gpu-layers 0");
}

static bool has_word(const char *words, const char *word) {
    const char *part;
    size_t len, want = strlen(word);
    for (const char *at = words; str_next(&at, ' ', &part, &len);)
        if (len == want && strncmp(part, word, len) == 0) return true;
    return false;
}

/* Does one of the words stand in the text? */
static bool mentions(const char *text, const char *words) {
    const char *part;
    size_t len;
    for (const char *at = words; str_next(&at, ' ', &part, &len);)
        if (mem_find(text, strlen(text), part, len) != NULL) return true;
    return false;
}

/* The row of the table for this GPU, or ARRAY_LEN(kinds): models cannot be computed there, it only shows pictures. */
static size_t kind_of(const struct os_gpu *g) {
    size_t i = 0;
    while (i < ARRAY_LEN(kinds) && !(g->driver[0] ? has_word(kinds[i].kernel, g->driver) : kinds[i].vendor && kinds[i].vendor == g->vendor))
        i++;
    return i;
}

static void describe(const struct engine_device *d, char *ret, size_t size) {
    char left[STR_SHORT];
    snprintf(ret, size, "%s, %s, %s free%s", d->name, d->description, str_size(d->memory_free, left),
             strcmp(d->type, "igpu") == 0 ? " of the machine's memory" : "");
}

/* Not every backend says where its device is. Then the first one that is not taken yet and of the same maker is meant. */
static bool is_device(const struct os_gpu *g, const char *maker, const struct engine_device *d) {
    if (strcmp(d->type, "cpu") == 0 || strcmp(d->type, "accel") == 0 || d->software) return false;
    if (d->pci[0] && g->pci[0]) return strcmp(d->pci, g->pci) == 0;
    return str_find_nocase(d->description, maker) != NULL;
}

static void judge_gpu(const struct os_gpu *g, size_t kind, const struct look *look, bool *taken, const struct os_gpu_driver *drivers,
                      size_t n_drivers, struct doctor_gpu *ret) {
    snprintf(ret->name, sizeof(ret->name), "%s GPU%s%s", kinds[kind].name, g->pci[0] ? " " : "", g->pci);
    snprintf(ret->kernel, sizeof(ret->kernel), "%s", g->driver);
    snprintf(ret->node, sizeof(ret->node), "%s", g->node);
    snprintf(ret->group, sizeof(ret->group), "%s", g->group);
    ret->node_errno = g->node_errno;
    ret->install = kinds[kind].install;
    ret->chosen = os_gpu_drivers_chosen();
    for (size_t i = 0; i < look->n && !ret->device[0]; i++) {
        if (taken[i] || !is_device(g, kinds[kind].name, &look->devices[i])) continue;
        taken[i] = true;
        describe(&look->devices[i], ret->device, sizeof(ret->device));
    }
    for (size_t i = 0; i < n_drivers; i++) {
        const char *slash = strrchr(drivers[i].file, '/');
        if (!mentions(slash ? slash : drivers[i].file, kinds[kind].vulkan)) continue;
        snprintf(ret->file, sizeof(ret->file), "%s", drivers[i].file);
        ret->load = look->loads[i];
        if (ret->load.code == ERR_OK) break;
    }
}

static void list_devices(const struct look *look, char *ret, size_t size) {
    struct buf b;
    char left[STR_SHORT];
    buf_init(&b, 8192);
    for (size_t i = 0; i < look->n; i++) {
        const struct engine_device *d = &look->devices[i];
        buf_printf(&b, "%s%s (%s", i ? ", " : "", d->name, d->description);
        if (strcmp(d->type, "cpu") != 0) buf_printf(&b, ", by %s, %s free", d->backend, str_size(d->memory_free, left));
        buf_append_str(&b, ")");
    }
    snprintf(ret, size, "%s", buf_cstr(&b));
    buf_done(&b);
}

/* Only a driver in software: its file's name, without the folder. */
static void only_software(const struct os_gpu_driver *drivers, size_t n, char *ret, size_t size) {
    size_t real = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = strrchr(drivers[i].file, '/') + 1;
        bool software = mentions(name, "lvp swrast swiftshader");
        real += !software;
        if (software) snprintf(ret, size, "%s", name);
    }
    if (real > 0) ret[0] = '\0';
}

void doctor_look_devices(const struct options *o, struct doctor_here *f) {
    struct os_gpu *gpus = mem_calloc(DOCTOR_MAX_GPUS, sizeof(*gpus));
    struct os_gpu_driver *drivers = mem_calloc(MAX_DRIVERS, sizeof(*drivers));
    struct look *look = MEM_NEW(struct look);
    bool taken[MAX_DEVICES] = {false};
    char more[512], path[4096];
    size_t n_drivers = os_gpu_drivers("", drivers, MAX_DRIVERS), n = os_gpus("", gpus, DOCTOR_MAX_GPUS);
    look->trouble.code = cli_backends(o, more, sizeof(more), &look->trouble);
    if (look->trouble.code == ERR_OK) look_apart(more, drivers, n_drivers, look);
    f->devices_trouble = look->trouble;
    f->backends_trouble = look->backends;
    bool named = os_backends_dir[0] != '\0' && os_runtime_path(os_backends_dir, path, sizeof(path));
    f->gpu_backend = engine_backends_has_gpu(named ? path : os_backends_dir) || more[0];
    list_devices(look, f->devices, sizeof(f->devices));
    for (size_t i = 0; i < n; i++) {
        size_t kind = kind_of(&gpus[i]);
        if (kind < ARRAY_LEN(kinds)) judge_gpu(&gpus[i], kind, look, taken, drivers, n_drivers, &f->gpus[f->n_gpus++]);
    }
    for (size_t i = 0; i < look->n; i++) f->gpu_listed |= !taken[i] && strstr("gpu igpu", look->devices[i].type) != NULL;
    only_software(drivers, n_drivers, f->software, sizeof(f->software));
    free(look);
    free(drivers);
    free(gpus);
}
