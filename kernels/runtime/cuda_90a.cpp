#include "kernels/runtime/cuda_90a.hpp"

#include "kernels/runtime/cuda_call.hpp"

#include <cstdlib>
#include <cuda_runtime_api.h>

namespace headrace::kernels {
namespace {

int attribute(cudaDeviceAttr which) {
  int device = 0;
  int value = 0;
  check_cuda(cudaGetDevice(&device), "current device");
  check_cuda(cudaDeviceGetAttribute(&value, which, device), "attribute of a device");
  return value;
}

}  // namespace

bool has_90a() {
  return std::getenv("HEADRACE_NO_90A") == nullptr &&
         attribute(cudaDevAttrComputeCapabilityMajor) == 9 &&
         attribute(cudaDevAttrComputeCapabilityMinor) == 0;
}

std::uint32_t multiprocessors() {
  return static_cast<std::uint32_t>(attribute(cudaDevAttrMultiProcessorCount));
}

}  // namespace headrace::kernels
