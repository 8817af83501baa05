#include "kernels/runtime/cuda_call.hpp"

#include "kernels/abi/entry.hpp"

#include <string>

namespace headrace::kernels {
namespace {

headrace_status status_of(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation:
      return HEADRACE_OUT_OF_MEMORY;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidDevice:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorDevicesUnavailable:
      return HEADRACE_NO_DEVICE;
    default:
      return HEADRACE_DEVICE_FAILED;
  }
}

}  // namespace

void check_cuda(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // read here, so that no later call reports it again
  abi::refuse(
      status_of(code),
      std::string(call) + ": " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) + ")");
}

}  // namespace headrace::kernels
