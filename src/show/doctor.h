/* SPDX-License-Identifier: MIT
 * What `caravan doctor` finds out about this machine and the node that runs on it. All block, none for longer than some seconds. Main
 * thread. */
#ifndef CARAVAN_SHOW_DOCTOR_H
#define CARAVAN_SHOW_DOCTOR_H

#include "cli/cli.h"
#include "doctor/checks.h"

/* Opens self's keys and fills in what is found on this machine. */
void doctor_look_here(const struct options *o, struct doctor_self *self, struct doctor_here *ret);
/* ggml's devices, and the GPUs of this machine (doctor_devices.c). */
void doctor_look_devices(const struct options *o, struct doctor_here *f);
/* Whether the running node is linked with node `id`, by its status; status NULL: not known. */
enum doctor_linked doctor_is_linked(yyjson_doc *status, uint64_t id);
/* Asks the running node for its status. NULL: none; f->api says why. */
yyjson_doc *doctor_ask_status(const struct options *o, struct doctor_here *f);

#endif
