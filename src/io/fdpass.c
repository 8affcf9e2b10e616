/* SPDX-License-Identifier: MIT
 * Passing a descriptor to another process over a Unix socket (unix(7), SCM_RIGHTS). Declared in io/sock.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io/sock.h"
#include "os/net.h"

union control { /* room and alignment for a few descriptors: a second one must be seen, so that it can be refused */
    struct cmsghdr align;
    char bytes[CMSG_SPACE(4 * sizeof(int))];
};

err_code io_sock_send_fd(int fd, const void *data, size_t len, int pass_fd, size_t *ret_n, struct err *e) {
    union control c;
    memset(&c, 0, sizeof(c));
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.bytes, .msg_controllen = CMSG_SPACE(sizeof(int))};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &pass_fd, sizeof(pass_fd));
    ssize_t n;
    do n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *ret_n = (size_t)n;
        return ERR_OK;
    }
    if (errno == EAGAIN) return ERR_BUSY;
    if (errno == EPIPE || errno == ECONNRESET) return err_set(e, ERR_CLOSED, "the other side closed the connection");
    return err_set_errno(e, ERR_IO, errno, "cannot pass a descriptor");
}

/* Takes the descriptors out of a message: *ret_fd is the only one, or -1. False if there were several (all are closed). */
static bool take_fds(struct msghdr *m, int *ret_fd) {
    int kept = -1, count = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
            if (count++ == 0) kept = fd;
            else close(fd);
        }
    }
    if (count > 1 || (m->msg_flags & MSG_CTRUNC)) {
        if (kept >= 0) close(kept);
        return false;
    }
    *ret_fd = kept;
    return true;
}

err_code io_sock_recv_fd(int fd, void *buf, size_t len, size_t *ret_n, int *ret_fd, struct err *e) {
    union control c;
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.bytes, .msg_controllen = sizeof(c.bytes)};
    ssize_t n;
    do n = os_recvmsg(fd, &m);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) return ERR_BUSY;
    if (n < 0) return err_set_errno(e, ERR_CLOSED, errno, "the connection broke");
    if (!take_fds(&m, ret_fd)) return err_set(e, ERR_PROTOCOL, "more than one descriptor came in one message");
    if (n == 0) return err_set(e, ERR_CLOSED, "the other side closed the connection");
    *ret_n = (size_t)n;
    return ERR_OK;
}
