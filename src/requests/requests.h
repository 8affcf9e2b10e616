/* SPDX-License-Identifier: MIT
 * The requests that a gateway answers, from the first to the last one: the threads and queues that they share. A single one is a call
 * (call.h). The gateway's owner opens and closes them. Loop thread. */
#ifndef CARAVAN_REQUESTS_REQUESTS_H
#define CARAVAN_REQUESTS_REQUESTS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

struct gateway;
struct render;

/* Sets g->requests. ERR_INTERNAL: no thread can be started. */
err_code requests_open(struct gateway *g, struct err *e);
/* When no call is left. Waits for the threads. Sets g->requests to NULL; if it is that already, nothing happens. */
void requests_close(struct gateway *g);
/* How many calls are not answered yet, and how many of them wait for a place at their model. */
size_t requests_running(const struct gateway *g);
uint64_t requests_queued(const struct gateway *g);
/* Requests that wait for a place at one model. */
struct requests_queue {
    const char *model;          /* valid until the loop goes on */
    uint32_t calls;             /* that wait */
    clock_us work;              /* what they and those that run will take if one is computed at a time, as predicted */
    clock_us since;             /* when the first of them began to wait */
};
/* The queue of the i-th model for which requests wait. False: there are no more. */
bool requests_get_queue(const struct gateway *g, size_t i, struct requests_queue *ret);
/* How many calls of this model are being computed. */
size_t requests_computed(const struct gateway *g, const char *model);
/* Looks whether calls that wait for a place have their turn: models come and go. */
void requests_look(struct gateway *g);
/* Gives a sign of life to all clients of streams that have been silent for too long. */
void requests_ping(struct gateway *g);
/* The thread that turns chats into prompts. */
struct render *requests_render(const struct gateway *g);

#endif
