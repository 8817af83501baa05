#pragma once

#include "kernels/runtime/cuda_call.hpp"
#include "kernels/runtime/launch_shape.hpp"

#include <cstddef>
#include <cuda_runtime.h>

/// How kernels are started: nvcc only.
namespace headrace::kernels {

/// Dynamic shared memory that a block may have without asking.
constexpr std::size_t shared_bytes_unasked = 48 * 1024;

/// What a block may have when it asks, on the current device. Always as much is asked for: the
/// limit belongs to the kernel, and another thread may be about to launch it with more.
inline int shared_bytes_most() {
  int device = 0;
  int bytes = 0;
  check_cuda(cudaGetDevice(&device), "current device");
  check_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "shared memory of a device");
  return bytes;
}

/// Queues kernel(arguments...) on `stream` (a cudaStream_t, null for the default one); a grid of no
/// blocks is nothing to do. Asks for more shared memory where the shape has more than 48 KiB. Ends
/// the entry as check_cuda does when CUDA refuses the launch.
template <class... Parameters, class... Arguments>
void launch(const launch_shape& shape,
            void* stream,
            void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  if (shape.shared_bytes > shared_bytes_unasked) {
    check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    shared_bytes_most()),
               "shared memory of a kernel");
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.grid.x, shape.grid.y, shape.grid.z);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  check_cuda(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), "launch of a kernel");
}

/// A launcher on a stream for the launch functions of an op (OP_launch.hpp), which tests give
/// emulated_launch (emulated_cases.hpp) instead.
struct cuda_launch {
  void* stream = nullptr;

  template <class Kernel, class... Arguments>
  void operator()(const launch_shape& shape, Kernel* kernel, const Arguments&... arguments) const {
    launch(shape, stream, kernel, arguments...);
  }
};

}  // namespace headrace::kernels
