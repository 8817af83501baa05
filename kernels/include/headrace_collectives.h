#ifndef HEADRACE_COLLECTIVES_H
#define HEADRACE_COLLECTIVES_H

/* Sums over the GPUs of several processes, by NCCL. The CUDA library alone has these entries; it
 * opens libnccl.so.2 when the first is called and refuses, HEADRACE_UNSUPPORTED, where there is
 * none or one older than the library was built with.
 *
 * Members call the same operations in the same order with as many values. A member that is gone or
 * slow fails the others' calls with HEADRACE_PEER_GONE within the group's timeout; the group is
 * over then, every later call says so, and whoever wants to go on makes a new one of those that are
 * left. What was being summed means nothing. A group belongs to one thread at a time. */

#include "headrace_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HEADRACE_GROUP_ID_BYTES 128

typedef struct headrace_group headrace_group;

typedef struct headrace_group_args {
  uint32_t struct_size;
  uint32_t flags;
  const void* id; /* HEADRACE_GROUP_ID_BYTES of headrace_group_id, the same for all members */
  int32_t rank;   /* 0 to size - 1 */
  int32_t size;
  uint32_t timeout_ms; /* of joining and of each wait; at least 1 */
} headrace_group_args;

/* A name for one new group, into the HEADRACE_GROUP_ID_BYTES at `id`: one member makes it and hands
 * it to the others, who reach that member's host. */
HEADRACE_EXPORT headrace_status headrace_group_id(void* id);

/* Joins with this thread's device; returns when all members have, or fails in time. */
HEADRACE_EXPORT headrace_status headrace_group_new(const headrace_group_args* args,
                                                   headrace_group** group);

/* Queues on `stream`: values [count] of every member added up, in every member. Same bits in all of
 * them; with the same NCCL, size and links also from run to run. */
HEADRACE_EXPORT headrace_status headrace_group_sum(headrace_group* group,
                                                   float* values,
                                                   uint64_t count,
                                                   void* stream);

/* Queues on `stream`: values [count] become those of member `root`. */
HEADRACE_EXPORT headrace_status headrace_group_broadcast(headrace_group* group,
                                                         float* values,
                                                         uint64_t count,
                                                         int32_t root,
                                                         void* stream);

/* Returns when what is queued on `stream` is done; watches the members meanwhile. */
HEADRACE_EXPORT headrace_status headrace_group_wait(headrace_group* group, void* stream);

/* Ends the group; null is allowed. Nothing of it is still queued. */
HEADRACE_EXPORT headrace_status headrace_group_free(headrace_group* group);

#ifdef __cplusplus
}
#endif

#endif
