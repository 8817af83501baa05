#pragma once

#include "kernels/include/headrace_dense.h"
#include "kernels/include/headrace_graph.h"
#include "kernels/runtime/cuda_library.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace headrace::worker {

/// An operator of a library: its entry and its workspace query. Null where the library, older than
/// this program or not done yet, lacks it.
template <class Args>
struct device_op {
  headrace_status (*run)(const Args*, void*, void*, std::size_t) = nullptr;
  std::size_t (*workspace)(const Args*) = nullptr;

  bool there() const { return run != nullptr && workspace != nullptr; }
};

/// The entries of a kernel library that a model's step calls (kernels/include/), found once.
///
/// A plain table of functions: a test puts its own in their place to count or to fail. It keeps the
/// library open.
struct device_library {
  std::shared_ptr<const kernels::cuda_library> file;
  std::int32_t device = 0;  // of the library's devices

  decltype(&headrace_choose_device) choose_device = nullptr;
  decltype(&headrace_memory_new) memory_new = nullptr;
  decltype(&headrace_memory_free) memory_free = nullptr;
  decltype(&headrace_host_memory_new) host_memory_new = nullptr;
  decltype(&headrace_host_memory_free) host_memory_free = nullptr;
  decltype(&headrace_copy) copy = nullptr;
  decltype(&headrace_fill) fill = nullptr;
  decltype(&headrace_stream_new) stream_new = nullptr;
  decltype(&headrace_stream_free) stream_free = nullptr;
  decltype(&headrace_stream_wait) stream_wait = nullptr;
  decltype(&headrace_status_name) status_name = nullptr;
  decltype(&headrace_last_error) last_error = nullptr;

  device_op<headrace_fields_args> fields;
  device_op<headrace_fields_backward_args> fields_backward;
  device_op<headrace_linear_args> linear;
  device_op<headrace_linear_backward_args> linear_backward;
  device_op<headrace_copy_columns_args> copy_columns;
  device_op<headrace_scale_args> scale;
  device_op<headrace_fm_args> fm;
  device_op<headrace_fm_backward_args> fm_backward;
  device_op<headrace_bce_args> bce;

  /// The entries of `file`. Fails: unavailable where it has no memory or streams. Operators may be
  /// missing: the placement of a model asks for those that it needs.
  static result<device_library> of(std::shared_ptr<const kernels::cuda_library> file,
                                   std::int32_t device);
};

}  // namespace headrace::worker
