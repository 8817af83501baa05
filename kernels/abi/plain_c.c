/* The headers as a C compiler reads them; abi.test.cpp calls it. */
#include "kernels/include/headrace_attention.h"
#include "kernels/include/headrace_device.h"
#include "kernels/include/headrace_dense.h"
#include "kernels/include/headrace_kernels.h"
#include "kernels/include/headrace_moe.h"
#include "kernels/include/headrace_rows.h"

uint32_t headrace_version_seen_from_c(void);

uint32_t headrace_version_seen_from_c(void) {
  return headrace_version() == HEADRACE_KERNELS_VERSION ? headrace_version() : 0;
}
