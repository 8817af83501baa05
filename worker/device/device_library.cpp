#include "worker/device/device_library.hpp"

#include <string>
#include <type_traits>
#include <utility>

namespace headrace::worker {
namespace {

template <class Entry>
bool find(const kernels::cuda_library& file, const char* name, Entry*& to) {
  to = file.entry<Entry>(name);
  return to != nullptr;
}

template <class Args>
void find_op(const kernels::cuda_library& file, const std::string& name, device_op<Args>& to) {
  find(file, name.c_str(), to.run);
  find(file, (name + "_workspace").c_str(), to.workspace);
}

}  // namespace

result<device_library> device_library::of(std::shared_ptr<const kernels::cuda_library> file,
                                          std::int32_t device) {
  device_library all;
  const bool whole = find(*file, "headrace_choose_device", all.choose_device) &&
                     find(*file, "headrace_memory_new", all.memory_new) &&
                     find(*file, "headrace_memory_free", all.memory_free) &&
                     find(*file, "headrace_host_memory_new", all.host_memory_new) &&
                     find(*file, "headrace_host_memory_free", all.host_memory_free) &&
                     find(*file, "headrace_copy", all.copy) &&
                     find(*file, "headrace_fill", all.fill) &&
                     find(*file, "headrace_stream_new", all.stream_new) &&
                     find(*file, "headrace_stream_free", all.stream_free) &&
                     find(*file, "headrace_stream_wait", all.stream_wait) &&
                     find(*file, "headrace_status_name", all.status_name) &&
                     find(*file, "headrace_last_error", all.last_error);
  if (!whole) {
    return error{errc::unavailable,
                 "'" + file->file().string() + "' is older than headrace: it has no streams"};
  }
  find_op(*file, "headrace_fields", all.fields);
  find_op(*file, "headrace_fields_backward", all.fields_backward);
  find_op(*file, "headrace_linear", all.linear);
  find_op(*file, "headrace_linear_backward", all.linear_backward);
  find_op(*file, "headrace_copy_columns", all.copy_columns);
  find_op(*file, "headrace_scale", all.scale);
  find_op(*file, "headrace_fm", all.fm);
  find_op(*file, "headrace_fm_backward", all.fm_backward);
  find_op(*file, "headrace_bce", all.bce);
  all.file = std::move(file);
  all.device = device;
  return all;
}

}  // namespace headrace::worker
