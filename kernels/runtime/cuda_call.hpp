#pragma once

#include <cuda_runtime_api.h>

/// Every call into CUDA goes through here.
namespace headrace::kernels {

/// Ends the entry that made the call (abi/entry.hpp) unless `code` is cudaSuccess:
/// HEADRACE_NO_DEVICE where there is no usable device, HEADRACE_OUT_OF_MEMORY, else
/// HEADRACE_DEVICE_FAILED, with what CUDA says of it. `call` names the call.
void check_cuda(cudaError_t code, const char* call);

}  // namespace headrace::kernels
