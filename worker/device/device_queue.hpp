#pragma once

#include "base/result.hpp"
#include "worker/device/device_library.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace headrace::worker {

enum class memory_kind : std::uint8_t {
  device,
  pinned,  // of the host, which the device reads and writes at full speed
};

/// Memory of a library, freed with the object. Grows by allocating anew: what was there is lost.
class device_memory {
 public:
  device_memory(const device_library& library, memory_kind kind)
      : library_(&library), kind_(kind) {}
  ~device_memory() { release(); }
  device_memory(const device_memory&) = delete;
  device_memory& operator=(const device_memory&) = delete;

  std::size_t bytes() const { return bytes_; }
  std::byte* data() const { return static_cast<std::byte*>(memory_); }
  /// At least `bytes`, and half more than before where it grows. Nothing of it is in use.
  headrace_status reserve(std::size_t bytes);

 private:
  void release();

  const device_library* library_;
  memory_kind kind_;
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

/// An order of work on a device: what is queued is done one after the other.
///
/// Every status is looked at. The first that is not HEADRACE_OK is kept; nothing is queued behind
/// it, so what a caller does then costs nothing and changes nothing, and `wait` returns it. The
/// stream begins with the first `begin`, on the thread that calls. Single-threaded; `library`
/// outlives it.
class device_queue {
 public:
  explicit device_queue(const device_library& library)
      : library_(&library), workspace_(library, memory_kind::device) {}
  ~device_queue();
  device_queue(const device_queue&) = delete;
  device_queue& operator=(const device_queue&) = delete;

  /// This thread's next calls use the library's device; a failure before is forgotten.
  void begin();
  bool failed() const { return failure_.has_value(); }

  /// Queues an operator, with as much workspace as it asks for.
  template <class Args>
  void run(std::string_view name, const device_op<Args>& op, Args args) {
    if (failed()) return;
    args.struct_size = sizeof(Args);
    const std::size_t bytes = op.workspace(&args);
    if (bytes == HEADRACE_REFUSED) return took(name, HEADRACE_BAD_ARGUMENT);
    if (!make_workspace(bytes)) return;
    took(name, op.run(&args, stream_, workspace_.data(), bytes));
  }
  void copy(void* to, const void* from, std::size_t bytes);
  void clear(void* to, std::size_t bytes);
  /// Room in `memory`, which nothing that is queued uses.
  void reserve(device_memory& memory, std::size_t bytes);
  /// Returns when all that was queued is done. Fails: unavailable with what failed first.
  result<void> wait();

 private:
  bool make_workspace(std::size_t bytes);
  void took(std::string_view name, headrace_status status);

  const device_library* library_;
  void* stream_ = nullptr;
  bool begun_ = false;
  device_memory workspace_;
  std::optional<error> failure_;
};

}  // namespace headrace::worker
