/* SPDX-License-Identifier: MIT
 * Machines, cards and links that plans on paper know by name (tables/hardware.def, tables/links.def), and those that people describe
 * themselves. Values; no I/O, any thread. */
#ifndef CARAVAN_PAPER_HARDWARE_H
#define CARAVAN_PAPER_HARDWARE_H

#include "plan/plan.h"

enum hardware_kind {
    HARDWARE_UNIFIED, /* one memory for processor and GPU */
    HARDWARE_RAM,     /* computed by the processor */
    HARDWARE_CARD,    /* a graphics card's own memory */
    HARDWARE_MAC      /* as HARDWARE_UNIFIED; macOS gives its GPU three quarters of it */
};
/* Of what computes: a GPU's maker; CPU: a processor, whoever made it. */
enum hardware_maker { HARDWARE_BY_APPLE, HARDWARE_BY_NVIDIA, HARDWARE_BY_AMD, HARDWARE_BY_INTEL, HARDWARE_BY_CPU };
struct hardware {
    char name[32];
    enum hardware_kind kind;
    double gb;        /* memory, in 2^30 bytes */
    double bandwidth; /* bytes per second that decoding reads */
    double flops;     /* operations per second in prefill */
    double layer_s;   /* seconds of a layer for one token besides reading it */
    double expert_s;  /* further ones of a layer with experts */
    double price, idle_w, busy_w; /* as whoever described it says; 0: nothing was said */
};
/* "rtx3090-24"; without a size where there is one only ("rtx3090"). ERR_INVALID hints at the nearest names and their sizes. */
err_code hardware_named(const char *name, struct hardware *ret, struct err *e);
/* "name:24GB@900GB/s,tflops=40". The bandwidth is that of the specification; of it HARDWARE_OWN_EFFICIENCY is reckoned with, or what
 * "eff=0.9" says. Further words: kind=card, ram, mac or unified (the default), us=N microseconds a layer, price=N, watts=N busy, idle=N.
 * ERR_INVALID. */
err_code hardware_own(const char *text, struct hardware *ret, struct err *e);
#define HARDWARE_OWN_EFFICIENCY 0.8
/* What is not known of a machine is guessed from its kind and bandwidth. */
void hardware_guess(struct hardware *h);
/* As a device of a node: its memory less what the operating system and other programs take. */
struct plan_device hardware_device(const struct hardware *h);
enum hardware_kind hardware_kind_of(const char *word, bool *ret_known);

/* "10gbe". ERR_INVALID hints at the nearest names. */
err_code hardware_link(const char *name, struct plan_link *ret, struct err *e);

/* The families of the table, for lists. */
struct hardware_row {
    const char *family, *what; /* constant */
    uint32_t from, to;         /* GB */
    enum hardware_kind kind;
    enum hardware_maker maker;
    double bandwidth;          /* GB/s of the specification */
};
size_t hardware_count(void);
struct hardware_row hardware_at(size_t i);
struct hardware_link_row {
    const char *name, *what; /* constant */
    double rtt_us, mbit;
};
size_t hardware_link_count(void);
struct hardware_link_row hardware_link_at(size_t i);

#endif
