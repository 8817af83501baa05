#include "kernels/abi/selection_checks.hpp"
#include "kernels/dedup/dedup_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/runtime/radix_sort.hpp"

using namespace headrace::kernels;

namespace {

/// What the sort needs is asked of CUB, which asks the device.
dedup_parts parts_of(const headrace_dedup_args& args, void* workspace) {
  const auto n = static_cast<std::uint32_t>(args.count);
  return {static_cast<std::byte*>(workspace), n, n == 0 ? 0 : sort_by_key_bytes(n)};
}

void find_unique(const headrace_dedup_args& args, const dedup_parts& parts, void* stream) {
  device::dedup_view view{};
  view.unique = args.unique;
  view.inverse = args.inverse;
  view.counts = args.counts;
  view.unique_count = args.unique_count;
  view.n = static_cast<std::uint32_t>(args.count);
  const auto sort = [&](const std::uint64_t* keys,
                        std::uint64_t* sorted_keys,
                        const std::uint32_t* values,
                        std::uint32_t* sorted_values,
                        std::uint32_t n) {
    sort_by_key(
        keys, sorted_keys, values, sorted_values, n, parts.sort, parts.sort_bytes, stream);
  };
  launch_dedup(args.keys, view, parts, sort, cuda_launch{stream});
}

}  // namespace

extern "C" {

headrace_status headrace_dedup(const headrace_dedup_args* given,
                               void* stream,
                               void* workspace,
                               size_t workspace_bytes) {
  return abi::entry("dedup", given, [&](const headrace_dedup_args& args) {
    abi::check(args);
    if (args.count == 0) {
      check_cuda(cudaMemsetAsync(args.unique_count,
                                 0,
                                 sizeof(*args.unique_count),
                                 static_cast<cudaStream_t>(stream)),
                 "cudaMemset");
      return;
    }
    const dedup_parts parts = parts_of(args, workspace);
    abi::need_workspace(workspace, workspace_bytes, parts.bytes);
    find_unique(args, parts, stream);
  });
}

size_t headrace_dedup_workspace(const headrace_dedup_args* given) {
  return abi::workspace_query("dedup", given, [](const headrace_dedup_args& args) {
    abi::check_dedup_sizes(args);
    return args.count == 0 ? std::size_t{0} : parts_of(args, nullptr).bytes;
  });
}

}  // extern "C"
