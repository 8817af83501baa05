#include "kernels/abi/selection_checks.hpp"
#include "kernels/gather_rows/gather_rows_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

device::gather_rows_view view_of(const headrace_gather_rows_args& args) {
  return {static_cast<const std::byte*>(args.table),
          static_cast<const std::byte*>(args.more),
          args.row_bytes,
          args.index,
          args.values,
          args.scales,
          static_cast<std::uint32_t>(args.table_rows),
          static_cast<std::uint32_t>(args.rows),
          static_cast<std::uint32_t>(args.dim),
          false};
}

}  // namespace

extern "C" {

headrace_status headrace_gather_rows(const headrace_gather_rows_args* given,
                                     void* stream,
                                     void*,
                                     size_t) {
  return abi::entry("gather_rows", given, [&](const headrace_gather_rows_args& args) {
    abi::check(args);
    launch_gather_rows(view_of(args),
                       static_cast<value_format>(args.stored),
                       static_cast<value_format>(args.dtype),
                       cuda_launch{stream});
  });
}

size_t headrace_gather_rows_workspace(const headrace_gather_rows_args* given) {
  return abi::workspace_query("gather_rows", given, [](const headrace_gather_rows_args& args) {
    abi::check_gather_sizes(args);
    return std::size_t{0};
  });
}

}  // extern "C"
