#ifndef HEADRACE_DEVICE_H
#define HEADRACE_DEVICE_H

/* Memory and order of work: what a caller of the operators needs of a device without linking CUDA.
 * Conventions: headrace_kernels.h. The CPU library has the same calls over host memory, where work
 * is done when a call returns and the one stream is null. */

#include "headrace_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of a device; texts end with a zero byte. */
typedef struct headrace_device_info {
  uint32_t struct_size; /* in: how much of the struct is written */
  uint32_t flags;
  int32_t capability; /* 10 * major + minor of the compute capability; 0 for a CPU */
  int32_t multiprocessors;
  uint64_t memory_bytes;
  char name[128];
  char refused[128]; /* why the device is not used; "" where it is */
} headrace_device_info;

/* How many devices can be asked about: 0 where there is no driver. */
HEADRACE_EXPORT int32_t headrace_device_count(void);

/* Device `index` in 0 to count - 1; refused with HEADRACE_NO_DEVICE beyond, and the error text says
 * why there is none. */
HEADRACE_EXPORT headrace_status headrace_device_about(int32_t index, headrace_device_info* info);

/* The device that this thread's later calls use; it begins with 0. Refused with HEADRACE_NO_DEVICE
 * where headrace_devices() has no such index or says why it is not used. */
HEADRACE_EXPORT headrace_status headrace_choose_device(int32_t index);

/* `bytes` of memory of the chosen device at *memory, at a multiple of 256, not filled; null for 0
 * bytes. Waits for nothing. free: waits until the device is idle; null is allowed. */
HEADRACE_EXPORT headrace_status headrace_memory_new(size_t bytes, void** memory);
HEADRACE_EXPORT headrace_status headrace_memory_free(void* memory);

/* The same of host memory that the device reads and writes at full speed (pinned). */
HEADRACE_EXPORT headrace_status headrace_host_memory_new(size_t bytes, void** memory);
HEADRACE_EXPORT headrace_status headrace_host_memory_free(void* memory);

/* Queues a copy of `bytes` between any two of host and device memory that do not overlap. Host
 * memory that is not pinned is read before the call returns; written, maybe after. */
HEADRACE_EXPORT headrace_status headrace_copy(void* to,
                                              const void* from,
                                              size_t bytes,
                                              void* stream);

/* Queues the setting of `bytes` bytes of device memory to `value` (0 to 255). */
HEADRACE_EXPORT headrace_status headrace_fill(void* to, int32_t value, size_t bytes, void* stream);

/* An order of work of its own on the chosen device, that waits for no other stream. free: work
 * queued is still done. */
HEADRACE_EXPORT headrace_status headrace_stream_new(void** stream);
HEADRACE_EXPORT headrace_status headrace_stream_free(void* stream);

/* Returns when all that was queued on `stream` is done, or says what of it failed. */
HEADRACE_EXPORT headrace_status headrace_stream_wait(void* stream);

#ifdef __cplusplus
}
#endif

#endif
