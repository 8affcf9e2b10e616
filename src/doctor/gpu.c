/* SPDX-License-Identifier: MIT
 * Judges the GPUs of this machine: whether models can be computed on each, and what to do where they cannot. See doctor.h. */
#include "doctor/doctor_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fault(const struct doctor_gpu *g, struct doctor_line *l, const char *what) {
    doctor_say(l, DOCTOR_WARN, "%s%s%s%s: %s", g->name, g->kernel[0] ? " (" : "", g->kernel, g->kernel[0] ? ")" : "", what);
}

static void node_fault(const struct doctor_gpu *g, struct doctor_line *l) {
    char text[200];
    snprintf(text, sizeof(text), "%s cannot be opened: %s", g->node, strerror(g->node_errno));
    fault(g, l, text);
    if (g->node_errno == ENOENT) doctor_hint(l, "in a container: start it with this device (docker run --device %s)", g->node);
    else if (g->group[strspn(g->group, "0123456789")] == '\0') /* a group without a name here, as in most containers */
        doctor_hint(
            l, "its group is %s. In a container: start it with that group (docker run --group-add %s); else make it one of this user's",
            g->group, g->group);
    else
        doctor_hint(l,
                    "make this user a member of the group %s: sudo usermod -aG %s USER, and log in again (in a service: "
                    "SupplementaryGroups=%s)",
                    g->group, g->group, g->group);
}

static void driver_fault(const struct doctor_gpu *g, struct doctor_line *l) {
    char text[400];
    snprintf(text, sizeof(text), "its Vulkan driver cannot be loaded: %.340s", g->load.text);
    fault(g, l, text);
    if (strstr(g->load.text, "GLIBC") != NULL)
        doctor_hint(l,
                    "it was built for newer system libraries than Caravan comes with: build Caravan on this machine, from the system's own "
                    "llama.cpp, or update Caravan");
    else doctor_hint(l, "%s", g->install);
}

bool doctor_judge_gpu(const struct doctor_here *f, const struct doctor_gpu *g, struct doctor_line *l) {
    if (g->device[0]) {
        doctor_say(l, DOCTOR_OK, "%s (%s): %s", g->name, g->kernel, g->device);
    } else if (!g->kernel[0]) {
        fault(g, l, "the kernel has no driver for it");
        doctor_hint(l, "%s", g->install);
    } else if (!g->node[0]) {
        fault(g, l, "its driver offers no device for computing (/dev/dri/renderD*)");
        doctor_hint(l, "in a container: start it with this device (docker run --device /dev/dri); else %s", g->install);
    } else if (g->node_errno != 0) {
        node_fault(g, l);
    } else if (!g->file[0] && g->chosen != NULL) {
        char text[100];
        snprintf(text, sizeof(text), "%s names Vulkan drivers, none of which is for it", g->chosen);
        fault(g, l, text);
        doctor_hint(l, "unset %s, or name the description of its driver there, too", g->chosen);
    } else if (!g->file[0]) {
        fault(g, l, "there is no Vulkan driver for it");
        doctor_hint(l, "%s", g->install);
    } else if (g->load.code != ERR_OK) {
        driver_fault(g, l);
    } else if (!f->gpu_backend) {
        fault(g, l, "there is no backend of ggml for GPUs here");
        doctor_hint(l, "install the package that has ggml's Vulkan backend (Debian: libggml0-backend-vulkan)");
    } else {
        fault(g, l, "ggml cannot use it");
        doctor_hint(l, "update its driver (%s); its Vulkan must offer 16-bit storage. vulkaninfo shows what it says", g->file);
    }
    return true;
}

bool doctor_judge_no_gpu(const struct doctor_here *f, struct doctor_line *l) {
    if (f->n_gpus > 0 || f->gpu_listed || f->devices_trouble.code != ERR_OK) return false;
    if (f->software[0])
        doctor_say(l, DOCTOR_OK, "none, only a software driver (%s), which is slower than the processor itself", f->software);
    else doctor_say(l, DOCTOR_OK, "none: models run on the processor");
    return true;
}
