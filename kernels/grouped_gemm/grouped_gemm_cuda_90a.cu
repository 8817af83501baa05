#include "kernels/grouped_gemm/grouped_gemm_90a_launch.hpp"
#include "kernels/runtime/cuda_call.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/runtime/tensor_map_cuda.hpp"

namespace headrace::kernels {
namespace {

int attribute(cudaDeviceAttr which) {
  int device = 0;
  int value = 0;
  check_cuda(cudaGetDevice(&device), "current device");
  check_cuda(cudaDeviceGetAttribute(&value, which, device), "attribute of a device");
  return value;
}

std::uint32_t multiprocessors() {
  return static_cast<std::uint32_t>(attribute(cudaDevAttrMultiProcessorCount));
}

}  // namespace

bool has_90a() {
  return attribute(cudaDevAttrComputeCapabilityMajor) == 9 &&
         attribute(cudaDevAttrComputeCapabilityMinor) == 0;
}

void grouped_product_90a(const grouped_product_args& args, void* stream) {
  launch_grouped_product(args, multiprocessors(), cuda_map, cuda_launch{stream});
}

void grouped_sums_90a(const grouped_sums_args& args, void* stream) {
  launch_grouped_sums(args, multiprocessors(), cuda_map, cuda_launch{stream});
}

}  // namespace headrace::kernels
