#include "kernels/abi/graph_checks.hpp"
#include "kernels/copy_columns/copy_columns_launch.hpp"
#include "kernels/gather_fields/gather_fields_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/scaled_sum/scaled_sum_launch.hpp"

using namespace headrace::kernels;

namespace {

std::uint32_t narrow(std::uint64_t size) { return static_cast<std::uint32_t>(size); }

/// Sums of tiles.
std::size_t backward_bytes(const headrace_fields_backward_args& args) {
  abi::check_fields_sizes(args);
  return abi::product(gather_fields_partials(args.samples * args.fields, args.dim),
                      sizeof(float),
                      "samples * fields * dim");
}

}  // namespace

extern "C" {

headrace_status headrace_fields(const headrace_fields_args* given, void* stream, void*, size_t) {
  return abi::entry("fields", given, [&](const headrace_fields_args& args) {
    abi::check(args);
    launch_gather_fields({args.rows,
                          args.inverse,
                          args.values,
                          args.out,
                          args.samples * args.fields,
                          narrow(args.width),
                          narrow(args.first_column),
                          narrow(args.dim)},
                         cuda_launch{stream});
  });
}

size_t headrace_fields_workspace(const headrace_fields_args* given) {
  return abi::workspace_query("fields", given, [](const headrace_fields_args& args) {
    abi::check_fields_sizes(args);
    return std::size_t{0};
  });
}

headrace_status headrace_fields_backward(const headrace_fields_backward_args* given,
                                         void* stream,
                                         void* workspace,
                                         size_t workspace_bytes) {
  return abi::entry("fields_backward", given, [&](const headrace_fields_backward_args& args) {
    abi::check(args);
    abi::need_array(args.order, args.samples * args.fields, "order");
    abi::need_workspace(workspace, workspace_bytes, backward_bytes(args));
    launch_gather_fields_backward({args.inverse,
                                   args.order,
                                   args.values,
                                   args.out_gradients,
                                   args.row_gradients,
                                   static_cast<float*>(workspace),
                                   narrow(args.samples * args.fields),
                                   narrow(args.width),
                                   narrow(args.first_column),
                                   narrow(args.dim)},
                                  cuda_launch{stream});
  });
}

size_t headrace_fields_backward_workspace(const headrace_fields_backward_args* given) {
  return abi::workspace_query("fields_backward", given, backward_bytes);
}

headrace_status headrace_copy_columns(const headrace_copy_columns_args* given,
                                      void* stream,
                                      void*,
                                      size_t) {
  return abi::entry("copy_columns", given, [&](const headrace_copy_columns_args& args) {
    abi::check(args);
    launch_copy_columns(
        {args.from, args.to, args.from_stride, args.to_stride, args.rows, args.columns},
        cuda_launch{stream});
  });
}

size_t headrace_copy_columns_workspace(const headrace_copy_columns_args* given) {
  return abi::workspace_query("copy_columns", given, [](const headrace_copy_columns_args& args) {
    abi::check_sizes(args);
    return std::size_t{0};
  });
}

headrace_status headrace_scale(const headrace_scale_args* given, void* stream, void*, size_t) {
  return abi::entry("scale", given, [&](const headrace_scale_args& args) {
    abi::check(args);
    const bool add = (args.flags & HEADRACE_ADD_TO) != 0;
    launch_scaled_sum({args.from, args.to, args.size, args.scale, add}, cuda_launch{stream});
  });
}

size_t headrace_scale_workspace(const headrace_scale_args* given) {
  return abi::workspace_query("scale", given, [](const headrace_scale_args& args) {
    abi::check_sizes(args);
    return std::size_t{0};
  });
}

}  // extern "C"
