/* SPDX-License-Identifier: MIT */
#include "wire/transport.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/sock.h"

err_code wire_transport_read(struct wire_transport *w, void *buf, size_t len, bool wait, size_t *ret_n, int *ret_fd, struct err *e) {
    if (w->tls != NULL) {
        *ret_fd = -1;
        return io_tls_read(w->tls, buf, len, wait, ret_n, e);
    }
    for (;;) {
        err_code code = io_sock_recv_fd(w->fd, buf, len, ret_n, ret_fd, e);
        if (code != ERR_BUSY || !wait) return code;
        code = io_sock_wait(w->fd, POLLIN, -1, e);
        if (code != ERR_OK) return code;
    }
}

static err_code unix_write(int fd, const struct iovec *parts, size_t n_parts, size_t *ret_n, struct err *e) {
    /* msg_iovlen is of different types on different systems. */
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (uint16_t)n_parts};
    ssize_t n;
    do n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) return err_set_errno(e, ERR_CLOSED, errno, "the other side closed the connection");
    *ret_n = n > 0 ? (size_t)n : 0;
    return ERR_OK;
}

err_code wire_transport_write(struct wire_transport *w, const struct iovec *parts, size_t n_parts, int pass_fd, size_t *ret_n,
                              struct err *e) {
    size_t want = 0;
    for (size_t i = 0; i < n_parts; i++) want += parts[i].iov_len;
    *ret_n = 0;
    err_code code;
    if (w->tls != NULL) {
        code = io_tls_writev(w->tls, parts, n_parts, false, ret_n, e);
        return code == ERR_OK ? io_tls_flush(w->tls, false, e) == ERR_OK && *ret_n == want ? ERR_OK : ERR_BUSY : code;
    }
    if (pass_fd >= 0) code = io_sock_send_fd(w->fd, parts[0].iov_base, parts[0].iov_len, pass_fd, ret_n, e);
    else code = unix_write(w->fd, parts, n_parts, ret_n, e);
    return code == ERR_OK && *ret_n < want ? ERR_BUSY : code;
}

err_code wire_transport_write_all(struct wire_transport *w, const uint8_t *data, size_t len, int pass_fd, struct err *e) {
    if (w->tls != NULL) {
        size_t n;
        err_code code = io_tls_write(w->tls, data, len, true, &n, e);
        return code == ERR_OK ? io_tls_flush(w->tls, true, e) : code;
    }
    while (len > 0) {
        size_t n = 0;
        struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
        err_code code = wire_transport_write(w, &part, 1, pass_fd, &n, e);
        if (n > 0) pass_fd = -1;
        data += n;
        len -= n;
        if (code == ERR_BUSY) code = io_sock_wait(w->fd, POLLOUT, -1, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

bool wire_transport_pending(const struct wire_transport *w) { return w->tls != NULL && io_tls_pending(w->tls); }

void wire_transport_shutdown(struct wire_transport *w) {
    if (w->tls != NULL) io_tls_shutdown(w->tls);
    else shutdown(w->fd, SHUT_RDWR);
}

void wire_transport_close(struct wire_transport *w) {
    /* discards the received bytes; otherwise the kernel resets the connection, and the last bytes sent are lost */
    if (w->tls != NULL) io_tls_finish(w->tls, 0);
    else if (w->fd >= 0) close(w->fd);
    w->tls = NULL;
    w->fd = -1;
}
