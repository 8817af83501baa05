#include "worker/device/device_queue.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::worker {

// A failure to free is that of a device which is gone: there is nothing left to do.
void device_memory::release() {
  if (memory_ == nullptr) return;
  const auto free =
      kind_ == memory_kind::device ? library_->memory_free : library_->host_memory_free;
  free(memory_);
  memory_ = nullptr;
  bytes_ = 0;
}

headrace_status device_memory::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return HEADRACE_OK;
  const std::size_t wanted = std::max(bytes, bytes_ + bytes_ / 2);
  release();
  const auto make = kind_ == memory_kind::device ? library_->memory_new : library_->host_memory_new;
  headrace_status status = make(wanted, &memory_);
  if (status == HEADRACE_OK) bytes_ = wanted;
  if (status != HEADRACE_OUT_OF_MEMORY || wanted == bytes) return status;
  status = make(bytes, &memory_);  // no room to grow into, but maybe for what is needed
  if (status == HEADRACE_OK) bytes_ = bytes;
  return status;
}

device_queue::~device_queue() {
  if (!begun_) return;
  library_->choose_device(library_->device);  // of whichever thread this is
  library_->stream_wait(stream_);  // nothing of it still reads or writes memory that goes next
  library_->stream_free(stream_);
}

void device_queue::begin() {
  failure_.reset();
  took("choose_device", library_->choose_device(library_->device));
  if (failed() || begun_) return;
  took("stream_new", library_->stream_new(&stream_));
  begun_ = !failed();
}

void device_queue::copy(void* to, const void* from, std::size_t bytes) {
  if (failed() || bytes == 0) return;
  took("copy", library_->copy(to, from, bytes, stream_));
}

void device_queue::clear(void* to, std::size_t bytes) {
  if (failed() || bytes == 0) return;
  took("fill", library_->fill(to, 0, bytes, stream_));
}

void device_queue::reserve(device_memory& memory, std::size_t bytes) {
  if (failed()) return;
  took("memory_new", memory.reserve(bytes));
}

// What is queued may use the workspace: it is freed when the device is idle.
bool device_queue::make_workspace(std::size_t bytes) {
  if (bytes > workspace_.bytes()) took("memory_new", workspace_.reserve(bytes));
  return !failed();
}

result<void> device_queue::wait() {
  if (!failed()) took("stream_wait", library_->stream_wait(stream_));
  if (failed() && begun_) library_->stream_wait(stream_);
  if (failed()) return *failure_;
  return {};
}

void device_queue::took(std::string_view name, headrace_status status) {
  if (status == HEADRACE_OK) return;
  std::string text = library_->last_error();
  if (text.empty()) text = name;
  failure_ = error{errc::unavailable,
                   std::string(name) + " (" + library_->status_name(status) + "): " + text};
}

}  // namespace headrace::worker
