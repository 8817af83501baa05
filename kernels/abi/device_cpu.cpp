#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/entry.hpp"
#include "kernels/include/headrace_device.h"
#include "kernels/runtime/targets.hpp"

#include <cstdio>
#include <cstring>
#include <new>

// Memory and streams of a host: see headrace_device.h.
namespace headrace::kernels {
namespace {

constexpr std::size_t alignment = 256;  // what the header promises

headrace_status new_memory(const char* op, std::size_t bytes, void** memory) noexcept {
  return abi::call(op, [&] {
    abi::need_array(memory, 1, "memory");
    *memory = nullptr;
    if (bytes != 0) *memory = ::operator new(bytes, std::align_val_t(alignment));
  });
}

headrace_status free_memory(void* memory) noexcept {
  ::operator delete(memory, std::align_val_t(alignment));
  return HEADRACE_OK;
}

}  // namespace
}  // namespace headrace::kernels

using namespace headrace::kernels;

extern "C" {

int32_t headrace_device_count(void) { return 1; }

headrace_status headrace_device_about(int32_t index, headrace_device_info* info) {
  return abi::entry("device_about", info, [&](headrace_device_info about) {
    if (index != 0) abi::refuse(HEADRACE_NO_DEVICE, "the CPU library has device 0 only");
    about = {};
    std::snprintf(about.name, sizeof(about.name), "%s", name(chosen_cpu_target()).c_str());
    abi::copy_answer(&about, sizeof(about), info);
  });
}

headrace_status headrace_choose_device(int32_t index) {
  return abi::call("choose_device", [&] {
    if (index != 0) abi::refuse(HEADRACE_NO_DEVICE, "the CPU library has device 0 only");
  });
}

headrace_status headrace_memory_new(size_t bytes, void** memory) {
  return new_memory("memory_new", bytes, memory);
}
headrace_status headrace_memory_free(void* memory) { return free_memory(memory); }

headrace_status headrace_host_memory_new(size_t bytes, void** memory) {
  return new_memory("host_memory_new", bytes, memory);
}
headrace_status headrace_host_memory_free(void* memory) { return free_memory(memory); }

headrace_status headrace_copy(void* to, const void* from, size_t bytes, void* stream) {
  return abi::call("copy", [&] {
    abi::need_no_stream(stream);
    abi::need_bytes(to, bytes, 1, "to");
    abi::need_bytes(from, bytes, 1, "from");
    if (bytes != 0) std::memcpy(to, from, bytes);
  });
}

headrace_status headrace_fill(void* to, int32_t value, size_t bytes, void* stream) {
  return abi::call("fill", [&] {
    abi::need_no_stream(stream);
    abi::need_bytes(to, bytes, 1, "to");
    abi::need(value >= 0 && value <= 255, "value is not in 0 to 255");
    if (bytes != 0) std::memset(to, value, bytes);
  });
}

headrace_status headrace_stream_new(void** stream) {
  return abi::call("stream_new", [&] {
    abi::need_array(stream, 1, "stream");
    *stream = nullptr;
  });
}
headrace_status headrace_stream_free(void* stream) {
  return abi::call("stream_free", [&] { abi::need_no_stream(stream); });
}
headrace_status headrace_stream_wait(void* stream) {
  return abi::call("stream_wait", [&] { abi::need_no_stream(stream); });
}

}  // extern "C"
