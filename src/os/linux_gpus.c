/* SPDX-License-Identifier: MIT
 * See gpus.h. The kernel's part is in /sys (kernel documentation, sysfs-pci and drm-uapi). */
#include "os/gpus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

/* Folders with descriptions of drivers. The loader knows the first ones by itself. */
static const struct {
    const char *path;
    enum { KNOWN, BY_XDG /* unless XDG_DATA_DIRS leaves them out */, UNKNOWN } to_loader;
} folders[] = {
    {"/etc/vulkan/icd.d", KNOWN},
    {"/etc/xdg/vulkan/icd.d", KNOWN},
    {"/usr/local/share/vulkan/icd.d", BY_XDG},
    {"/usr/share/vulkan/icd.d", BY_XDG},
    {"/usr/local/etc/vulkan/icd.d", UNKNOWN},
    {"/run/opengl-driver/share/vulkan/icd.d", UNKNOWN},    /* NixOS */
    {"/var/lib/snapd/lib/vulkan/icd.d", UNKNOWN},          /* the drivers of the host, in a snap */
    {"/usr/lib/x86_64-linux-gnu/GL/vulkan/icd.d", UNKNOWN}, /* those of a Flatpak */
    {"/usr/lib/aarch64-linux-gnu/GL/vulkan/icd.d", UNKNOWN},
};

/* ---- what the kernel says ---- */

static uint32_t read_number(const char *folder, const char *name) {
    char path[PATH_MAX], text[32] = "";
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) return 0;
    FILE *f = fopen(path, "re");
    if (f != NULL && fgets(text, sizeof(text), f) == NULL) text[0] = '\0';
    if (f != NULL) fclose(f);
    return (uint32_t)strtoul(text, NULL, 16);
}

/* The last part of the path that a link leads to; "": there is no such link. */
static void read_link(const char *folder, const char *name, char *ret, size_t size) {
    char path[PATH_MAX], target[PATH_MAX];
    ret[0] = '\0';
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) return;
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n <= 0) return;
    target[n] = '\0';
    snprintf(ret, size, "%.*s", (int)size - 1, basename(target));
}

static void look_node(const char *root, const char *path, struct os_gpu *g) {
    char at[PATH_MAX];
    struct stat st;
    snprintf(g->node, sizeof(g->node), "%s", path);
    if (snprintf(at, sizeof(at), "%s%s", root, path) >= (int)sizeof(at)) return;
    g->node_errno = access(at, R_OK | W_OK) == 0 ? 0 : errno;
    if (stat(at, &st) != 0) return;
    struct group *group = getgrgid(st.st_gid);
    if (group != NULL) snprintf(g->group, sizeof(g->group), "%s", group->gr_name);
    else snprintf(g->group, sizeof(g->group), "%u", (unsigned)st.st_gid);
}

/* The render node among the device's own folders of /sys. NVIDIA's driver has none where its part for displays is not loaded; that of
 * WSL 2 never has one. */
static void find_node(const char *root, const char *device, struct os_gpu *g) {
    char path[PATH_MAX], node[64];
    DIR *d = snprintf(path, sizeof(path), "%s/drm", device) < (int)sizeof(path) ? opendir(path) : NULL;
    for (struct dirent *f; d != NULL && (f = readdir(d)) != NULL;) {
        if (strncmp(f->d_name, "renderD", 7) != 0 || strlen(f->d_name) > 32) continue;
        snprintf(node, sizeof(node), "/dev/dri/%.32s", f->d_name);
        look_node(root, node, g);
    }
    if (d != NULL) closedir(d);
    if (g->node[0] == '\0' && strcmp(g->driver, "nvidia") == 0) look_node(root, "/dev/nvidiactl", g);
    if (g->node[0] == '\0' && strcmp(g->driver, "dxgkrnl") == 0) look_node(root, "/dev/dxg", g);
}

static bool is_display(const char *device) {
    enum { DISPLAY = 0x03, ACCELERATOR = 0x12 }; /* PCI Code and ID Assignment Specification, appendix D */
    uint32_t class = read_number(device, "class") >> 16;
    return class == DISPLAY || class == ACCELERATOR;
}

static void look_device(const char *root, const char *device, struct os_gpu *g) {
    g->vendor = (uint16_t)read_number(device, "vendor");
    read_link(device, "driver", g->driver, sizeof(g->driver));
    find_node(root, device, g);
}

static size_t pci_gpus(const char *root, struct os_gpu *ret, size_t max) {
    char path[PATH_MAX], device[PATH_MAX];
    struct dirent **files;
    size_t n = 0;
    snprintf(path, sizeof(path), "%s/sys/bus/pci/devices", root);
    int count = scandir(path, &files, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        bool fits = snprintf(device, sizeof(device), "%s/%s", path, files[i]->d_name) < (int)sizeof(device);
        if (files[i]->d_name[0] != '.' && fits && n < max && is_display(device)) {
            ret[n] = (struct os_gpu){0};
            snprintf(ret[n].pci, sizeof(ret[n].pci), "%.15s", files[i]->d_name);
            look_device(root, device, &ret[n++]);
        }
        free(files[i]);
    }
    if (count >= 0) free(files);
    return n;
}

/* GPUs of boards are part of the chip, and on no bus. */
static size_t other_gpus(const char *root, struct os_gpu *ret, size_t max) {
    char path[PATH_MAX], device[PATH_MAX], bus[32];
    struct dirent **files;
    size_t n = 0;
    snprintf(path, sizeof(path), "%s/sys/class/drm", root);
    int count = scandir(path, &files, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        bool fits = snprintf(device, sizeof(device), "%s/%s/device", path, files[i]->d_name) < (int)sizeof(device);
        if (strncmp(files[i]->d_name, "renderD", 7) == 0 && fits && n < max) {
            read_link(device, "subsystem", bus, sizeof(bus));
            ret[n] = (struct os_gpu){0};
            if (strcmp(bus, "pci") != 0) look_device(root, device, &ret[n++]);
        }
        free(files[i]);
    }
    if (count >= 0) free(files);
    return n;
}

size_t os_gpus(const char *root, struct os_gpu *ret, size_t max) {
    size_t n = pci_gpus(root, ret, max);
    return n + other_gpus(root, ret + n, max - n);
}

/* ---- drivers ---- */

static bool read_driver(const char *root, const char *file, struct os_gpu_driver *ret) {
    char path[PATH_MAX];
    struct buf text;
    yyjson_doc *doc = NULL;
    buf_init(&text, 1 << 16);
    bool fits = snprintf(path, sizeof(path), "%s%s", root, file) < (int)sizeof(path) && strlen(file) < sizeof(ret->file);
    if (fits && file_read(path, "driver", &text, NULL) == ERR_OK) doc = json_read(buf_cstr(&text), text.len);
    const char *library = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "ICD"), "library_path"));
    bool found = library != NULL && strlen(library) < sizeof(ret->library);
    if (found) {
        snprintf(ret->file, sizeof(ret->file), "%.255s", file);
        /* A name with a slash counts from the folder of the description. */
        if (library[0] == '/' || strchr(library, '/') == NULL) snprintf(ret->library, sizeof(ret->library), "%s", library);
        else snprintf(ret->library, sizeof(ret->library), "%.*s%.200s", (int)(strrchr(file, '/') + 1 - file), file, library);
    }
    yyjson_doc_free(doc);
    buf_done(&text);
    return found;
}

struct drivers {
    const char *root;
    struct os_gpu_driver *all;
    size_t n, max;
};

/* Folders are named more than once where the environment names those that are looked at anyway. */
static void take_file(struct drivers *l, const char *file) {
    bool known = l->n >= l->max;
    for (size_t i = 0; i < l->n; i++) known |= strcmp(l->all[i].file, file) == 0;
    if (!known) l->n += read_driver(l->root, file, &l->all[l->n]);
}

static bool is_description(const char *file) {
    size_t len = strlen(file);
    return len > 5 && strcmp(file + len - 5, ".json") == 0;
}

static void take_folder(struct drivers *l, const char *folder) {
    char path[PATH_MAX], file[512];
    struct dirent **files;
    if (snprintf(path, sizeof(path), "%s%s", l->root, folder) >= (int)sizeof(path)) return;
    int count = scandir(path, &files, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        bool fits = snprintf(file, sizeof(file), "%s/%s", folder, files[i]->d_name) < (int)sizeof(file);
        if (fits && is_description(files[i]->d_name)) take_file(l, file);
        free(files[i]);
    }
    if (count >= 0) free(files);
}

/* A list of places with colons between them: each is a description or a folder of some, below: in that part of it. */
static void take_list(struct drivers *l, const char *list, const char *below) {
    const char *part;
    size_t len;
    char place[256];
    for (const char *at = list ? list : ""; str_next(&at, ':', &part, &len);) {
        while (len > 1 && part[len - 1] == '/') len--;
        if (len == 0 || snprintf(place, sizeof(place), "%.*s%s", (int)len, part, below) >= (int)sizeof(place)) continue;
        if (is_description(place)) take_file(l, place);
        else take_folder(l, place);
    }
}

/* A folder of this user: what the variable says, else beside the others in the home folder. */
static void take_own(struct drivers *l, const char *name, const char *usual) {
    const char *own = getenv(name), *home = getenv("HOME");
    char place[256];
    if (own && *own) take_list(l, own, "/vulkan/icd.d");
    else if (home && *home && snprintf(place, sizeof(place), "%s/%s/vulkan/icd.d", home, usual) < (int)sizeof(place)) take_folder(l, place);
}

const char *os_gpu_drivers_chosen(void) {
    static const char *const names[] = {"VK_DRIVER_FILES", "VK_ICD_FILENAMES"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (getenv(names[i]) != NULL) return names[i];
    return NULL;
}

size_t os_gpu_drivers(const char *root, struct os_gpu_driver *ret, size_t max) {
    struct drivers l = {.root = root, .all = ret, .max = max};
    const char *chosen = os_gpu_drivers_chosen();
    if (chosen) {
        take_list(&l, getenv(chosen), "");
        return l.n;
    }
    take_own(&l, "XDG_CONFIG_HOME", ".config");
    take_list(&l, getenv("XDG_CONFIG_DIRS"), "/vulkan/icd.d");
    take_own(&l, "XDG_DATA_HOME", ".local/share");
    take_list(&l, getenv("XDG_DATA_DIRS"), "/vulkan/icd.d");
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) take_folder(&l, folders[i].path);
    take_list(&l, getenv("VK_ADD_DRIVER_FILES"), "");
    return l.n;
}

/* Is this folder's part before /vulkan/icd.d in the list of XDG_DATA_DIRS? */
static bool is_in_data_dirs(const char *folder) {
    const char *list = getenv("XDG_DATA_DIRS");
    size_t len = strlen(folder) - strlen("/vulkan/icd.d");
    if (list == NULL || *list == '\0') return true;
    for (const char *at = list; at != NULL; at = strchr(at, ':')) {
        at += *at == ':';
        size_t n = strcspn(at, ":");
        while (n > 1 && at[n - 1] == '/') n--;
        if (n == len && strncmp(at, folder, len) == 0) return true;
    }
    return false;
}

void os_gpu_drivers_show(void) {
    char list[1024] = "";
    size_t at = 0;
    if (os_gpu_drivers_chosen() != NULL || getenv("VK_ADD_DRIVER_FILES") != NULL) return;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        bool known = folders[i].to_loader == KNOWN || (folders[i].to_loader == BY_XDG && is_in_data_dirs(folders[i].path));
        if (!known && access(folders[i].path, R_OK | X_OK) == 0)
            at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", at > 0 ? ":" : "", folders[i].path);
    }
    if (at > 0) setenv("VK_ADD_DRIVER_FILES", list, 1);
}
