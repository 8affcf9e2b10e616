/* SPDX-License-Identifier: MIT
 * See profile.h. */
#include "plan/profile.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/runtime.h"
#include "os/machine.h"
#include "os/os.h"

#define QUIET    0.8 /* of all cores */
#define IDLE     0.2  /* processes a core */
#define AGAIN_US (UINT64_C(600) * 1000000)
enum { DISK_PROBE = 32 << 20, MAX_FILE = 1 << 20, MOST_TRIES = 6, GPU_RESERVE = 16 };

uint64_t profile_memory_offer_of(uint64_t available, uint64_t most) {
    uint64_t reserve = available / 8;
    if (reserve < 256u << 20) reserve = 256u << 20;
    uint64_t offer = available > reserve ? available - reserve : 0;
    return offer < most ? offer : most;
}

uint64_t profile_memory_offer(void) { return profile_memory_offer_of(machine_memory_available(), machine_memory_for_models()); }

uint64_t profile_gpu_offer(uint64_t free) { return free - free / GPU_RESERVE; }

/* ---- measuring ---- */

static void profile_devices(struct profile *p) {
    struct engine_device found[PROFILE_MAX_DEVICES];
    size_t n = engine_devices(found, PROFILE_MAX_DEVICES);
    for (size_t i = 0; i < n && i < PROFILE_MAX_DEVICES; i++) {
        if (strcmp(found[i].type, "accel") == 0) continue; /* a library that computes in RAM, such as BLAS */
        struct profile_device *d = &p->devices[p->n_devices++];
        *d = (struct profile_device){

            .gpu = strcmp(found[i].type, "cpu") != 0,
            .shared = strcmp(found[i].type, "igpu") == 0,
            .software = found[i].software,
            .memory_total = found[i].memory_total,
            .memory_free = found[i].memory_free};
        if (!d->gpu && machine_memory() < d->memory_total) d->memory_total = machine_memory(); /* ggml ignores the limits of containers */
        if (!d->gpu && machine_memory_available() < d->memory_free) d->memory_free = machine_memory_available();
        snprintf(d->name, sizeof(d->name), "%.31s", found[i].name);
        snprintf(d->pci, sizeof(d->pci), "%s", found[i].pci);
        snprintf(d->description, sizeof(d->description), "%.63s", found[i].description);
    }
}

/* The processor's description says what the user has chosen, since its figures are of that. */
static void profile_threads(struct profile *p, struct engine_threads wish) {
    struct engine_threads n = engine_threads_of(wish);
    char words[32];
    if (wish.single == 0 && wish.several == 0) return;
    if (n.several == n.single) snprintf(words, sizeof(words), ", %u thread%s", n.single, n.single == 1 ? "" : "s");
    else snprintf(words, sizeof(words), ", %u and %u threads", n.single, n.several);
    for (uint32_t i = 0; i < p->n_devices; i++) {
        char *text = p->devices[i].description;
        const size_t size = sizeof(p->devices[i].description), most = size - 1 - strlen(words), len = strlen(text);
        if (!p->devices[i].gpu) snprintf(text + (len < most ? len : most), strlen(words) + 1, "%s", words);
    }
}

/* A text that changes with the hardware, and with the number of threads. */
static void profile_hardware(struct profile *p, struct engine_threads wish) {
    struct engine_threads n = engine_threads_of(wish);
    size_t at = (size_t)snprintf(p->hardware, sizeof(p->hardware), "%u threads", n.single);
    if (n.several != n.single) at += (size_t)snprintf(p->hardware + at, sizeof(p->hardware) - at, ", %u", n.several);
    for (uint32_t i = 0; i < p->n_devices && at < sizeof(p->hardware) - 1; i++)
        at += (size_t)snprintf(p->hardware + at, sizeof(p->hardware) - at, "; %s %llu MB", p->devices[i].name,
                               (unsigned long long)(p->devices[i].memory_total >> 20));
}

void profile_trial(const char *path, char *ret, size_t size) { snprintf(ret, size, "%s.trial", path); }

static bool gpu_works(const struct profile_device *d, const char *trial) {
    struct buf failed;
    struct err e = {0};
    buf_init(&failed, MAX_FILE);
    file_read(trial, "list of GPUs that fail", &failed, NULL); /* it need not be there */
    bool works = !str_is_part(buf_cstr(&failed), '\n', d->name);
    if (works) {
        const size_t before = failed.len;
        buf_append_str(&failed, d->name);
        buf_append_byte(&failed, '\n');
        file_write(trial, failed.data, failed.len, NULL);
        works = engine_device_try(d->name, &e) == ERR_OK;
        if (works) file_write(trial, failed.data, before, NULL);
    }
    if (!works) log_warn("node", "%s (%s) does not compute, so it is left out. %s", d->name, d->description, e.text);
    buf_done(&failed);
    return works;
}

/* Leaves out the GPUs that don't compute: lost ones, and those whose driver fails. */
static void profile_try(struct profile *p, const char *path) {
    char trial[4096];
    uint32_t kept = 0;
    profile_trial(path, trial, sizeof(trial));
    for (uint32_t i = 0; i < p->n_devices; i++)
        if (!p->devices[i].gpu || gpu_works(&p->devices[i], trial)) p->devices[kept++] = p->devices[i];
    p->n_devices = kept;
}

/* Writes a file, forces it out of the cache, and reads it. 0: that failed. */
static double profile_disk(const char *path) {
    double speed = 0;
    uint8_t *data = mem_zalloc(DISK_PROBE);
    for (size_t i = 0; i < DISK_PROBE; i += 64) data[i] = (uint8_t)(i * 2654435761u >> 24); /* bytes that cannot be compressed */
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) unlink(path); /* the file disappears however this ends */
    if (fd >= 0 && write(fd, data, DISK_PROBE) == DISK_PROBE && os_file_sync(fd) == 0 && os_file_uncache(fd) == 0) {
        clock_us start = clock_now();
        size_t have = 0;
        for (ssize_t n; have < DISK_PROBE && (n = pread(fd, data, 1 << 20, (off_t)have)) > 0;) have += (size_t)n;
        clock_us took = clock_now() - start;
        if (have == DISK_PROBE) speed = (double)have / ((double)(took ? took : 1) / 1e6);
    }
    if (fd >= 0) close(fd);
    free(data);
    return speed;
}

/* Seconds of processor time that this process has used. */
static double profile_cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* More threads than cores don't get more time than the cores have. */
static double least_threads(struct engine_threads wish) {
    struct engine_threads n = engine_threads_of(wish);
    uint32_t least = n.single < n.several ? n.single : n.several, cores = machine_cores();
    return (double)(least < cores ? least : cores);
}

/* quiet: the process got nearly all of the time that its threads could use. */
static err_code profile_device_speed(struct profile_device *d, struct engine_threads threads, bool *ret_quiet, struct err *e) {
    struct engine_speed speed = {0};
    double cpu = profile_cpu_s();
    clock_us start = clock_now();
    err_code code = engine_measure(d->name, threads, &speed, e);
    double wall = (double)(clock_now() - start) / 1e6;
    if (!d->gpu && profile_cpu_s() - cpu < QUIET * wall * least_threads(threads)) *ret_quiet = false;
    d->bandwidth = speed.bandwidth;
    d->flops = speed.flops;
    d->step = speed.step;
    return d->gpu ? ERR_OK : code; /* the speed of a GPU that cannot compute this stays unknown */
}

bool profile_again(const struct profile *p, uint32_t tries, clock_us ago, double load) {
    return p->n_devices > 0 && !p->quiet && tries < MOST_TRIES && ago >= AGAIN_US && load < IDLE;
}

err_code profile_measure(const char *path, const char *models, struct engine_threads threads, struct profile *ret, struct err *e) {
    struct profile kept, p = {0};
    profile_devices(&p);
    profile_try(&p, path);
    profile_hardware(&p, threads);
    profile_threads(&p, threads);
    bool same =
        profile_load(path, &kept, NULL) == ERR_OK && kept.quiet && strcmp(kept.hardware, p.hardware) == 0 && kept.n_devices == p.n_devices;
    p.quiet = true;
    for (uint32_t i = 0; i < p.n_devices; i++) {
        if (p.devices[i].software) continue; /* it is used only if it is named, and takes long to measure */
        err_code code = same ? ERR_OK : profile_device_speed(&p.devices[i], threads, &p.quiet, e);
        if (code != ERR_OK) return code;
        if (!same) continue;
        p.devices[i].bandwidth = kept.devices[i].bandwidth;
        p.devices[i].flops = kept.devices[i].flops;
        p.devices[i].step = kept.devices[i].step;
    }
    topology_find(&p.topology);
    bool there = models && access(models, W_OK | X_OK) == 0;
    snprintf(p.disk_at, sizeof(p.disk_at), "%.240s%s", there ? models : path, there ? "/.probe" : ".probe");
    p.disk = same && strcmp(kept.disk_at, p.disk_at) == 0 ? kept.disk : profile_disk(p.disk_at);
    *ret = p;
    return ERR_OK;
}

/* Seconds, for each weight: it is multiplied with 512 tokens at once, and read 128 times. */
static double answer_s(const struct profile_device *d) {
    enum { PROMPT = 512, ANSWER = 128 };
    const double bytes = 0.5625; /* of a weight, as Q4_K */
    return d->flops > 0 && d->bandwidth > 0 ? PROMPT * 2 / d->flops + ANSWER * bytes / d->bandwidth : INFINITY;
}

bool profile_gpu_helps(const struct profile *p, uint32_t device) {
    double best = INFINITY;
    for (uint32_t i = 0; i < p->n_devices; i++)
        if (!p->devices[i].gpu) best = fmin(best, answer_s(&p->devices[i]));
    return p->devices[device].gpu && !p->devices[device].software && answer_s(&p->devices[device]) < best;
}

bool profile_gpu_is_double(const struct profile *p, uint32_t device) {
    const struct profile_device *d = &p->devices[device];
    if (!d->gpu || d->pci[0] == '\0') return false;
    for (uint32_t i = 0; i < p->n_devices; i++) {
        const struct profile_device *other = &p->devices[i];
        if (i == device || !other->gpu || strcmp(other->pci, d->pci) != 0) continue;
        double its = answer_s(other), own = answer_s(d);
        if (its < own || (!(own < its) && i < device)) return true;
    }
    return false;
}

uint32_t profile_step(const struct profile *p) {
    for (uint32_t i = 0; i < p->n_devices; i++)
        if (!p->devices[i].gpu) return p->devices[i].step;
    return 0;
}

uint32_t profile_ubatch(const struct profile *p, const struct engine_load *load) {
    bool free = load->n_ubatch == 0 && load->n_batch == 0 && !load->exact;
    return free && profile_step(p) == ENGINE_STEP_LONG ? ENGINE_STEP_LONG : load->n_ubatch;
}

/* ---- keeping ---- */

void profile_put(const struct profile *p, yyjson_mut_doc *doc, yyjson_mut_val *obj) {
    yyjson_mut_val *devices = yyjson_mut_obj_add_arr(doc, obj, "devices");
    for (uint32_t i = 0; i < p->n_devices; i++) {
        const struct profile_device *d = &p->devices[i];
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, devices);
        yyjson_mut_obj_add_strcpy(doc, o, "name", d->name);
        yyjson_mut_obj_add_strcpy(doc, o, "description", d->description);
        yyjson_mut_obj_add_bool(doc, o, "gpu", d->gpu);
        if (d->pci[0] != '\0') yyjson_mut_obj_add_strcpy(doc, o, "pci", d->pci);
        if (d->shared) yyjson_mut_obj_add_bool(doc, o, "shared", true);
        if (d->software) yyjson_mut_obj_add_bool(doc, o, "software", true);
        yyjson_mut_obj_add_uint(doc, o, "memory_total", d->memory_total);
        yyjson_mut_obj_add_uint(doc, o, "memory_free", d->memory_free);
        yyjson_mut_obj_add_real(doc, o, "bandwidth", d->bandwidth);
        yyjson_mut_obj_add_real(doc, o, "flops", d->flops);
        if (d->step > 0) yyjson_mut_obj_add_uint(doc, o, "step", d->step);
    }
    if (p->topology.threads > 0) {
        yyjson_mut_val *o = yyjson_mut_obj_add_obj(doc, obj, "processor");
        yyjson_mut_obj_add_uint(doc, o, "threads", p->topology.threads);
        yyjson_mut_obj_add_uint(doc, o, "cores", p->topology.cores);
        yyjson_mut_obj_add_uint(doc, o, "fast_cores", p->topology.fast_cores);
        yyjson_mut_obj_add_uint(doc, o, "memory_domains", p->topology.numa);
        yyjson_mut_obj_add_uint(doc, o, "l3_bytes", p->topology.l3);
    }
    yyjson_mut_obj_add_real(doc, obj, "disk", p->disk);
    yyjson_mut_obj_add_bool(doc, obj, "quiet", p->quiet);
}

/* Invalid UTF-8 and long texts are cut, not refused: the text is only for people. */
static void get_name(yyjson_val *obj, const char *key, char *ret, size_t size) {
    const char *text = yyjson_get_str(yyjson_obj_get(obj, key));
    snprintf(ret, size, "%s", text ? text : "");
}

static err_code device_get(yyjson_val *o, struct profile_device *d, struct err *e) {
    int64_t total = 0, left = 0;
    get_name(o, "name", d->name, sizeof(d->name));
    get_name(o, "description", d->description, sizeof(d->description));
    get_name(o, "pci", d->pci, sizeof(d->pci));
    err_code code = json_get_bool(o, "gpu", &d->gpu, e);
    if (code == ERR_OK) code = json_get_bool(o, "shared", &d->shared, e);
    if (code == ERR_OK) code = json_get_bool(o, "software", &d->software, e);
    if (code == ERR_OK) code = json_get_i64(o, "memory_total", 0, INT64_MAX, &total, e);
    if (code == ERR_OK) code = json_get_i64(o, "memory_free", 0, INT64_MAX, &left, e);
    if (code == ERR_OK) code = json_get_double(o, "bandwidth", 0, 1e18, &d->bandwidth, e);
    if (code == ERR_OK) code = json_get_double(o, "flops", 0, 1e21, &d->flops, e);
    if (code == ERR_OK) code = json_get_u32(o, "step", ENGINE_STEP_LONG, &d->step, e);
    d->memory_total = (uint64_t)total;
    d->memory_free = (uint64_t)left;
    return code;
}

static err_code topology_get(yyjson_val *o, struct topology *t, struct err *e) {
    enum { MOST = 1 << 20 };
    err_code code = json_get_u32(o, "threads", MOST, &t->threads, e);
    if (code == ERR_OK) code = json_get_u32(o, "cores", MOST, &t->cores, e);
    if (code == ERR_OK) code = json_get_u32(o, "fast_cores", MOST, &t->fast_cores, e);
    if (code == ERR_OK) code = json_get_u32(o, "memory_domains", MOST, &t->numa, e);
    return code == ERR_OK ? json_get_u64(o, "l3_bytes", &t->l3, e) : code;
}

err_code profile_get(yyjson_val *obj, struct profile *ret, struct err *e) {
    yyjson_val *devices = yyjson_obj_get(obj, "devices"), *o;
    struct profile p = {0};
    size_t i, max;
    if (devices && !yyjson_is_arr(devices)) return err_set_field(e, ERR_INVALID, "devices", "expected an array");
    if (yyjson_arr_size(devices) > PROFILE_MAX_DEVICES) return err_set_field(e, ERR_LIMIT, "devices", "more than %d", PROFILE_MAX_DEVICES);
    err_code code = json_get_double(obj, "disk", 0, 1e18, &p.disk, e);
    if (code == ERR_OK) code = json_get_bool(obj, "quiet", &p.quiet, e);
    if (code == ERR_OK && yyjson_obj_get(obj, "processor")) code = topology_get(yyjson_obj_get(obj, "processor"), &p.topology, e);
    get_name(obj, "hardware", p.hardware, sizeof(p.hardware));
    get_name(obj, "disk_at", p.disk_at, sizeof(p.disk_at));
    yyjson_arr_foreach(devices, i, max, o) if (code == ERR_OK) code = device_get(o, &p.devices[p.n_devices++], e);
    if (code == ERR_OK) *ret = p;
    return code;
}

static void custom_init(void *value) { *(struct profile *)value = (struct profile){0}; }
static yyjson_mut_val *custom_write(const void *value, yyjson_mut_doc *doc) {
    yyjson_mut_val *obj = yyjson_mut_obj(doc);
    profile_put(value, doc, obj);
    return obj;
}
static err_code custom_read(void *value, yyjson_val *v, struct err *e) { return profile_get(v, value, e); }

const struct field_custom profile_custom = {custom_init, custom_init, custom_write, custom_read};

err_code profile_load(const char *path, struct profile *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_file_load(path, "profile", MAX_FILE, &doc, e);
    if (code == ERR_OK) code = profile_get(yyjson_doc_get_root(doc), ret, e);
    yyjson_doc_free(doc);
    return code;
}

err_code profile_save(const char *path, const struct profile *p, struct err *e) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    struct buf b;
    buf_init(&b, MAX_FILE);
    yyjson_mut_obj_add_strcpy(doc, root, "hardware", p->hardware);
    yyjson_mut_obj_add_strcpy(doc, root, "disk_at", p->disk_at);
    profile_put(p, doc, root);
    json_write(&b, doc);
    yyjson_mut_doc_free(doc);
    err_code code = file_make_folders(path, e);
    if (code == ERR_OK) code = file_write(path, b.data, b.len, e);
    buf_done(&b);
    return code;
}
