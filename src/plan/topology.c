/* SPDX-License-Identifier: MIT
 * See topology.h. */
#include "plan/topology.h"

#include <hwloc.h>
#include <string.h>

static uint32_t count(hwloc_topology_t t, hwloc_obj_type_t type) {
    int n = hwloc_get_nbobjs_by_type(t, type);
    return n > 0 ? (uint32_t)n : 0;
}

/* hwloc sorts kinds of cores by efficiency: the last kind is the fastest. */
static uint32_t fast_cores(hwloc_topology_t t, uint32_t all) {
    int kinds = hwloc_cpukinds_get_nr(t, 0), efficiency = -1;
    if (kinds < 2) return all;
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int n = 0;
    if (set && hwloc_cpukinds_get_info(t, (unsigned)kinds - 1, set, &efficiency, NULL, NULL, 0) == 0 && efficiency >= 0)
        n = hwloc_get_nbobjs_inside_cpuset_by_type(t, set, HWLOC_OBJ_CORE);
    hwloc_bitmap_free(set);
    return n > 0 ? (uint32_t)n : all;
}

void topology_find(struct topology *ret) {
    hwloc_topology_t t;
    memset(ret, 0, sizeof(*ret));
    if (hwloc_topology_init(&t) != 0) return;
    if (hwloc_topology_load(t) == 0) {
        ret->threads = count(t, HWLOC_OBJ_PU);
        ret->cores = count(t, HWLOC_OBJ_CORE);
        if (ret->cores == 0) ret->cores = ret->threads;
        ret->fast_cores = fast_cores(t, ret->cores);
        ret->numa = count(t, HWLOC_OBJ_NUMANODE);
        for (hwloc_obj_t o = NULL; (o = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_L3CACHE, o));) ret->l3 += o->attr->cache.size;
    }
    hwloc_topology_destroy(t);
}
