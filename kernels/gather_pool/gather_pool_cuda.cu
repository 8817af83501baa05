#include "kernels/abi/pool_checks.hpp"
#include "kernels/gather_pool/gather_pool_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/runtime/radix_sort.hpp"

using namespace headrace::kernels;

namespace {

std::uint32_t narrow(std::uint64_t size) { return static_cast<std::uint32_t>(size); }

device::gather_pool_view view_of(const headrace_gather_pool_args& args) {
  return {args.values,
          args.scales,
          args.inverse,
          args.weights,
          args.offsets,
          args.out,
          narrow(args.bags),
          narrow(args.dim),
          false};
}

device::weight_gradients_view view_of(const headrace_gather_pool_weights_args& args) {
  return {{args.values,
           args.scales,
           args.inverse,
           nullptr,
           args.offsets,
           nullptr,
           narrow(args.bags),
           narrow(args.dim),
           false},
          args.out_gradients,
          args.weight_gradients,
          narrow(args.occurrences)};
}

device::pool_gradients_view view_of(const headrace_gather_pool_backward_args& args) {
  device::pool_gradients_view view{};
  view.inverse = args.inverse;
  view.weights = args.weights;
  view.offsets = args.offsets;
  view.out_gradients = args.out_gradients;
  view.row_gradients = args.row_gradients;
  view.n = narrow(args.occurrences);
  view.rows = narrow(args.rows);
  view.bags = narrow(args.bags);
  view.dim = narrow(args.dim);
  return view;
}

/// What the sort needs is asked of CUB, which asks the device.
pool_gradients_parts parts_of(const headrace_gather_pool_backward_args& args, void* workspace) {
  const std::uint32_t n = narrow(args.occurrences);
  return {static_cast<std::byte*>(workspace),
          n,
          narrow(args.rows),
          narrow(args.dim),
          sort_by_row_bytes(n)};
}

std::size_t backward_bytes(const headrace_gather_pool_backward_args& args) {
  abi::check_pool_sizes(args);
  return args.occurrences == 0 ? 0 : parts_of(args, nullptr).bytes;
}

}  // namespace

extern "C" {

headrace_status headrace_gather_pool(const headrace_gather_pool_args* given,
                                     void* stream,
                                     void*,
                                     size_t) {
  return abi::entry("gather_pool", given, [&](const headrace_gather_pool_args& args) {
    abi::check(args);
    launch_gather_pool(view_of(args), static_cast<value_format>(args.dtype), cuda_launch{stream});
  });
}

size_t headrace_gather_pool_workspace(const headrace_gather_pool_args* given) {
  return abi::workspace_query("gather_pool", given, [](const headrace_gather_pool_args& args) {
    abi::check_pool_sizes(args);
    return std::size_t{0};
  });
}

headrace_status headrace_gather_pool_backward(const headrace_gather_pool_backward_args* given,
                                              void* stream,
                                              void* workspace,
                                              size_t workspace_bytes) {
  return abi::entry(
      "gather_pool_backward", given, [&](const headrace_gather_pool_backward_args& args) {
        abi::check(args);
        if (args.occurrences == 0) return;
        const pool_gradients_parts parts = parts_of(args, workspace);
        abi::need_workspace(workspace, workspace_bytes, parts.bytes);
        const auto sort = [&](const std::uint32_t* rows,
                              std::uint32_t* sorted_rows,
                              const device::occurrence* values,
                              device::occurrence* sorted,
                              std::uint32_t n) {
          sort_by_row(rows,
                      sorted_rows,
                      values,
                      sorted,
                      n,
                      narrow(args.rows),
                      parts.sort,
                      parts.sort_bytes,
                      stream);
        };
        launch_gather_pool_backward(view_of(args), parts, sort, cuda_launch{stream});
      });
}

size_t headrace_gather_pool_backward_workspace(const headrace_gather_pool_backward_args* given) {
  return abi::workspace_query("gather_pool_backward", given, backward_bytes);
}

headrace_status headrace_gather_pool_weights(const headrace_gather_pool_weights_args* given,
                                             void* stream,
                                             void*,
                                             size_t) {
  return abi::entry(
      "gather_pool_weights", given, [&](const headrace_gather_pool_weights_args& args) {
        abi::check(args);
        launch_gather_pool_weights(
            view_of(args), static_cast<value_format>(args.dtype), cuda_launch{stream});
      });
}

size_t headrace_gather_pool_weights_workspace(const headrace_gather_pool_weights_args* given) {
  return abi::workspace_query(
      "gather_pool_weights", given, [](const headrace_gather_pool_weights_args& args) {
        abi::check_pool_sizes(args);
        return std::size_t{0};
      });
}

}  // extern "C"
