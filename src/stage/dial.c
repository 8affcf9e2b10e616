/* SPDX-License-Identifier: MIT
 * See dial.h. Each question has a Unix socket of its own, over which the answer comes: so threads that dial at once need no turns, and the
 * compute thread, which alone reads LOCAL, isn't needed. */
#include "stage/dial.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "wire/stage.h"

enum { ANSWER_MS = 10000 }; /* the node gives up earlier */

static struct {
    pthread_mutex_t lock; /* while a question is sent */
    struct wire_link *local;
} dial = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void dial_set(struct wire_link *local) {
    pthread_mutex_lock(&dial.lock);
    dial.local = local;
    pthread_mutex_unlock(&dial.lock);
}

void stage_dial_begin(struct wire_link *local) { dial_set(local); }

void stage_dial_end(void) { dial_set(NULL); }

static err_code dial_question(uint64_t node, int reply, struct err *e) {
    uint8_t payload[FIELD_SIZE(stage_dial)];
    struct frame_header h = {.type = FRAME_DIAL};
    field_put(stage_dial_fields(), &(struct stage_dial){.node = node}, payload);
    pthread_mutex_lock(&dial.lock);
    err_code code = dial.local ? wire_link_send_fd_apart(dial.local, &h, payload, sizeof(payload), reply, e) : ERR_CLOSED;
    pthread_mutex_unlock(&dial.lock);
    return code;
}

/* The connection that the other node has made; ERR_CLOSED: it has not been asked to, or could not. */
static err_code dial_by_node(uint64_t node, int *ret_fd, struct err *e) {
    int ends[2];
    uint8_t byte;
    size_t n;
    err_code code = io_sock_pair(ends, e);
    if (code != ERR_OK) return code;
    code = dial_question(node, ends[1], e);
    close(ends[1]);
    if (code == ERR_OK) code = io_sock_wait(ends[0], POLLIN, ANSWER_MS, e);
    if (code == ERR_OK) code = io_sock_recv_fd(ends[0], &byte, 1, &n, ret_fd, e);
    close(ends[0]);
    return code == ERR_OK && *ret_fd < 0 ? ERR_CLOSED : code;
}

err_code stage_dial(uint64_t node, const struct io_addr *to, int timeout_ms, int *ret_fd, struct err *e) {
    struct err none = {0};
    int fd = -1;
    if (dial_by_node(node, &fd, &none) != ERR_OK) return io_sock_connect(to, timeout_ms, ret_fd, e);
    *ret_fd = fd;
    return ERR_OK;
}
