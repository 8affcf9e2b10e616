/* SPDX-License-Identifier: MIT */
#include "ring/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/sock.h"

err_code ring_wire_read(struct ring_wire *w, void *buf, size_t len, bool wait, size_t *ret_n, int *ret_fd, struct err *e) {
    if (w->tls != NULL) {
        *ret_fd = -1;
        return io_tls_read(w->tls, buf, len, wait, ret_n, e);
    }
    for (;;) {
        err_code rc = io_sock_recv_fd(w->fd, buf, len, ret_n, ret_fd, e);
        if (rc != ERR_BUSY || !wait) return rc;
        rc = io_sock_wait(w->fd, POLLIN, -1, e);
        if (rc != ERR_OK) return rc;
    }
}

static err_code unix_write(int fd, const struct iovec *parts, size_t n_parts, size_t *ret_n, struct err *e) {
    struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = n_parts };
    ssize_t n;
    do n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) return err_set_errno(e, ERR_CLOSED, errno, "the other side closed the connection");
    *ret_n = n > 0 ? (size_t)n : 0;
    return ERR_OK;
}

err_code ring_wire_write(struct ring_wire *w, const struct iovec *parts, size_t n_parts, int pass_fd, size_t *ret_n, struct err *e) {
    size_t want = 0;
    for (size_t i = 0; i < n_parts; i++) want += parts[i].iov_len;
    *ret_n = 0;
    err_code rc;
    if (w->tls != NULL) {
        rc = io_tls_writev(w->tls, parts, n_parts, false, ret_n, e);
        return rc == ERR_OK ? io_tls_flush(w->tls, false, e) == ERR_OK && *ret_n == want ? ERR_OK : ERR_BUSY : rc;
    }
    if (pass_fd >= 0) rc = io_sock_send_fd(w->fd, parts[0].iov_base, parts[0].iov_len, pass_fd, ret_n, e);
    else rc = unix_write(w->fd, parts, n_parts, ret_n, e);
    return rc == ERR_OK && *ret_n < want ? ERR_BUSY : rc;
}

err_code ring_wire_write_all(struct ring_wire *w, const uint8_t *data, size_t len, int pass_fd, struct err *e) {
    if (w->tls != NULL) {
        size_t n;
        err_code rc = io_tls_write(w->tls, data, len, true, &n, e);
        return rc == ERR_OK ? io_tls_flush(w->tls, true, e) : rc;
    }
    while (len > 0) {
        size_t n = 0;
        struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
        err_code rc = ring_wire_write(w, &part, 1, pass_fd, &n, e);
        if (n > 0) pass_fd = -1;
        data += n;
        len -= n;
        if (rc == ERR_BUSY) rc = io_sock_wait(w->fd, POLLOUT, -1, e);
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}

bool ring_wire_pending(const struct ring_wire *w) {
    return w->tls != NULL && io_tls_pending(w->tls);
}

void ring_wire_shutdown(struct ring_wire *w) {
    if (w->tls != NULL) io_tls_shutdown(w->tls);
    else shutdown(w->fd, SHUT_RDWR);
}

void ring_wire_close(struct ring_wire *w) {
    /* reads away what has come, or the kernel resets the connection and our last bytes are lost */
    if (w->tls != NULL) io_tls_finish(w->tls, 0);
    else if (w->fd >= 0) close(w->fd);
    w->tls = NULL;
    w->fd = -1;
}
