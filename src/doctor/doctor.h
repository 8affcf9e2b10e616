/* SPDX-License-Identifier: MIT
 * Judges what `caravan doctor` found: a pure function from findings to lines. Each line is the verdict of one check with its reason and a
 * hint. Each subject has a table of checks: this machine, a network interface, another machine, an address of it. The findings come from
 * cli/doctor*.c, net.c and peer.c. No I/O, any thread. Texts from other machines have been made printable before. */
#ifndef CARAVAN_DOCTOR_DOCTOR_H
#define CARAVAN_DOCTOR_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"

enum { DOCTOR_MAX_ADDRESSES = 8, DOCTOR_MAX_INTERFACES = 32, DOCTOR_MAX_PEERS = 96, DOCTOR_MAX_ANSWERS = 16 };
enum { DOCTOR_LARGE_THERE = 32 << 10, DOCTOR_LARGE_BACK = 48 << 10, DOCTOR_CONNECT_MS = 4000 };

/* ---- findings ---- */

enum doctor_passed { DOCTOR_NOT_TRIED, DOCTOR_PASSED, DOCTOR_LOST };

/* One address of a machine. The fields after the first failure are zero. */
struct doctor_address {
    char host[64];
    uint16_t port;
    int connect_errno;     /* 0: connected; ETIMEDOUT: nothing came back */
    uint32_t trip_us;
    bool asked;            /* there was a key to shake hands with */
    struct err handshake;  /* code ERR_OK: it has this cluster's key */
    bool old_key;          /* it accepted the key from before the last rotation, and not the new one */
    struct err answer;     /* to HELLO; code ERR_OK: it would link */
    uint8_t version;       /* of the protocol, in its frames; 0: none came */
    uint64_t id;
    bool self;             /* it answered with this machine's own identity */
    char name[64], software[24];
    bool timed;
    int64_t ahead_s;       /* its clock against this one */
    enum doctor_passed there, back; /* large frames */
    bool near;             /* in a network that this machine has an address in */
    bool found;            /* it answered a question by multicast */
};

enum doctor_linked { DOCTOR_LINK_UNKNOWN, DOCTOR_LINKED, DOCTOR_NOT_LINKED };
struct doctor_peer {
    char given[300];       /* for people: as it was written, or its name and address as remembered */
    char at[300];          /* HOST:PORT */
    struct err lookup;     /* of its name */
    bool literal;          /* there was no name to look up */
    bool remembered;       /* it is a known peer; the user did not name it */
    struct doctor_address addresses[DOCTOR_MAX_ADDRESSES];
    size_t n_addresses;
    enum doctor_linked linked; /* with the node that runs here */
};

struct doctor_interface {
    char name[16], host[64];
    struct sockaddr_storage own; /* the address in host: IPv4 where there is one, else link-local IPv6 */
    bool v6;
    bool named;            /* by --interface */
    bool there, up, multicast;
    int join_errno, send_errno;
    bool tried, came_back; /* a question was sent by multicast; it came back to this machine */
    char answers[DOCTOR_MAX_ANSWERS][64]; /* addresses of nodes that answered it */
    size_t n_answers;
};

struct doctor_folder {
    char path[512];
    int write_errno;       /* 0: can be written, or made */
    uint64_t free;         /* bytes of its disk */
};

/* A GPU that the kernel knows. */
struct doctor_gpu {
    char name[64];         /* "AMD GPU 0000:03:00.0" */
    char kernel[32];       /* its driver in the kernel; "": none */
    char node[64];         /* the device that programs open; "": none */
    int node_errno;        /* why it cannot be opened; 0: it can */
    char group[32];        /* of that device */
    char device[200];      /* as ggml shows it, for people; "": it doesn't */
    char file[256];        /* the description of its Vulkan driver; "": there is none */
    struct err load;       /* why that driver cannot be loaded; code ERR_OK: it can */
    const char *install;   /* what would bring one */
    const char *chosen;    /* the variable by which the user has chosen other drivers; NULL: none is set */
};
enum { DOCTOR_MAX_GPUS = 16 };

struct doctor_here {
    struct doctor_folder state, cache, models;
    char key_path[512], cluster[17];
    struct err key;        /* ERR_NOT_FOUND: there is none */
    bool node_runs;
    struct doctor_address node; /* the port where it listens, seen from here */
    char listen[300];      /* where it listens, or would */
    struct err port;       /* no node runs: that the port cannot be had */
    struct err api;        /* code ERR_OK: it answers */
    uint64_t memory_total, memory_available, memory_offered, memory_used; /* bytes; offered, used: as the node says, else 0 */
    size_t models_ready, models_failed; /* of the cluster, as the node says; failed: asked for, and no copy can be loaded */
    char failed[128], failed_why[300];  /* the first one of these */
    struct err devices_trouble;
    struct err backends_trouble; /* of a folder that the user has named */
    char devices[400];
    struct doctor_gpu gpus[DOCTOR_MAX_GPUS];
    size_t n_gpus;
    bool gpu_listed;       /* ggml lists a GPU that is none of these */
    bool gpu_backend;      /* a backend for GPUs is there */
    char software[64];     /* a Vulkan driver that computes on the processor, where there is no other; "": none */
    uint64_t fd_limit;
    char huge_pages[16];   /* "always", "madvise", "never"; "": unknown */
};

/* ---- the report ---- */

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_VERDICT_COUNT };
const char *doctor_verdict_name(enum doctor_verdict v); /* "ok", "warn", "FAIL" */

struct doctor_line {
    enum doctor_verdict verdict;
    char subject[300], check[16], text[500], hint[400];
};
struct doctor_report { /* zeroed at first */
    struct doctor_line *lines;
    size_t n_machines; /* others that were looked at */
    size_t n, counts[DOCTOR_VERDICT_COUNT];
};
void doctor_report_done(struct doctor_report *r);

void doctor_judge_here(const struct doctor_here *f, struct doctor_report *r);
void doctor_judge_interface(const struct doctor_interface *f, struct doctor_report *r);
void doctor_judge_peer(const struct doctor_peer *f, struct doctor_report *r);

/* For people: the lines, cut between words to fit in width characters (0: as long as they are), and the sum below. As JSON: {"ok",
 * "failed", "warnings", "checks": [...]}. */
void doctor_print(const struct doctor_report *r, uint32_t width, struct buf *out);
void doctor_print_json(const struct doctor_report *r, struct buf *out);

#endif
