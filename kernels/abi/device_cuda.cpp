#include "kernels/abi/entry.hpp"
#include "kernels/include/headrace_device.h"
#include "kernels/runtime/cuda_call.hpp"
#include "kernels/runtime/cuda_devices.hpp"

#include <cuda_runtime_api.h>

// Memory and streams of a GPU: see headrace_device.h.
using namespace headrace::kernels;

namespace {

cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace

extern "C" {

int32_t headrace_device_count(void) { return device_count(); }

headrace_status headrace_device_about(int32_t index, headrace_device_info* info) {
  return abi::entry("device_about", info, [&](headrace_device_info about) {
    const std::string nowhere = no_such_device(index);
    if (!nowhere.empty()) abi::refuse(HEADRACE_NO_DEVICE, nowhere);
    about = device_facts(index);
    abi::copy_answer(&about, sizeof(about), info);
  });
}

headrace_status headrace_choose_device(int32_t index) {
  return abi::call("choose_device", [&] {
    const std::string refused = device_refused(index);
    if (!refused.empty()) abi::refuse(HEADRACE_NO_DEVICE, refused);
    check_cuda(cudaSetDevice(index), "cudaSetDevice");
  });
}

headrace_status headrace_memory_new(size_t bytes, void** memory) {
  return abi::call("memory_new", [&] {
    abi::need_array(memory, 1, "memory");
    *memory = nullptr;
    if (bytes != 0) check_cuda(cudaMalloc(memory, bytes), "cudaMalloc");
  });
}
headrace_status headrace_memory_free(void* memory) {
  return abi::call("memory_free", [&] {
    if (memory != nullptr) check_cuda(cudaFree(memory), "cudaFree");
  });
}

headrace_status headrace_host_memory_new(size_t bytes, void** memory) {
  return abi::call("host_memory_new", [&] {
    abi::need_array(memory, 1, "memory");
    *memory = nullptr;
    if (bytes != 0) check_cuda(cudaMallocHost(memory, bytes), "cudaMallocHost");
  });
}
headrace_status headrace_host_memory_free(void* memory) {
  return abi::call("host_memory_free", [&] {
    if (memory != nullptr) check_cuda(cudaFreeHost(memory), "cudaFreeHost");
  });
}

headrace_status headrace_copy(void* to, const void* from, size_t bytes, void* stream) {
  return abi::call("copy", [&] {
    abi::need_bytes(to, bytes, 1, "to");
    abi::need_bytes(from, bytes, 1, "from");
    if (bytes == 0) return;
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, as_stream(stream)),
               "cudaMemcpyAsync");
  });
}

headrace_status headrace_fill(void* to, int32_t value, size_t bytes, void* stream) {
  return abi::call("fill", [&] {
    abi::need_bytes(to, bytes, 1, "to");
    abi::need(value >= 0 && value <= 255, "value is not in 0 to 255");
    if (bytes != 0) check_cuda(cudaMemsetAsync(to, value, bytes, as_stream(stream)), "cudaMemset");
  });
}

headrace_status headrace_stream_new(void** stream) {
  return abi::call("stream_new", [&] {
    abi::need_array(stream, 1, "stream");
    *stream = nullptr;
    cudaStream_t made = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreate");
    *stream = made;
  });
}
headrace_status headrace_stream_free(void* stream) {
  return abi::call("stream_free", [&] {
    if (stream != nullptr) check_cuda(cudaStreamDestroy(as_stream(stream)), "cudaStreamDestroy");
  });
}
headrace_status headrace_stream_wait(void* stream) {
  return abi::call("stream_wait", [&] {
    check_cuda(cudaStreamSynchronize(as_stream(stream)), "cudaStreamSynchronize");
  });
}

}  // extern "C"
