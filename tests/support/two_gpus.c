/* What libheadrace_cuda.so says of devices on a host with two GPUs, one of them too old. */
#include "kernels/include/headrace_device.h"

#include <stdio.h>

uint32_t headrace_version(void) { return HEADRACE_KERNELS_VERSION; }
const char* headrace_backend(void) { return "cuda"; }
const char* headrace_last_error(void) { return "device_about: there is no such device"; }
int32_t headrace_device_count(void) { return 2; }

headrace_status headrace_device_about(int32_t index, headrace_device_info* info) {
  if (index < 0 || index > 1) return HEADRACE_NO_DEVICE;
  info->capability = index == 0 ? 90 : 75;
  info->multiprocessors = index == 0 ? 132 : 40;
  info->memory_bytes = index == 0 ? UINT64_C(80) << 30 : UINT64_C(16) << 30;
  snprintf(info->name, sizeof(info->name), "%s", index == 0 ? "First GPU" : "Second GPU");
  if (index == 1) snprintf(info->refused, sizeof(info->refused), "compute capability 7.5");
  return HEADRACE_OK;
}
