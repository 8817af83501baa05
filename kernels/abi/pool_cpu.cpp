#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/pool_checks.hpp"
#include "kernels/gather_pool/gather_pool.hpp"
#include "kernels/runtime/half.hpp"

#include <span>

// headrace_gather_pool and its gradient on the CPU.
using namespace headrace::kernels;

namespace {

/// Rows that are not f32 are widened first.
template <class Args>
std::size_t pool_bytes(const Args& args) {
  abi::check_pool_sizes(args);
  if (args.dtype == HEADRACE_F32) return 0;
  return abi::product(args.rows * args.dim, sizeof(float), "rows * dim");
}

template <class Args>
float widened(const Args& args, std::size_t i) {
  if (args.dtype == HEADRACE_I8) {
    const auto code = static_cast<const std::int8_t*>(args.values)[i];
    return static_cast<float>(code) * half_to_float(args.scales[i / args.dim]);
  }
  const std::uint16_t bits = static_cast<const std::uint16_t*>(args.values)[i];
  return args.dtype == HEADRACE_F16 ? half_to_float(bits) : brain_to_float(bits);
}

template <class Args>
std::span<const float> rows_of(const Args& args, void* workspace) {
  const std::size_t size = args.rows * args.dim;
  if (args.occurrences == 0) return {};
  if (args.dtype == HEADRACE_F32) return {static_cast<const float*>(args.values), size};
  auto* floats = static_cast<float*>(workspace);
  for (std::size_t i = 0; i < size; ++i) floats[i] = widened(args, i);
  return {floats, size};
}

template <class Args>
std::span<const float> weights_of(const Args& args) {
  if (args.weights == nullptr) return {};
  return {args.weights, args.occurrences};
}

/// What lies in memory, which the CUDA library trusts.
template <class Args>
void check_bags(const Args& args) {
  abi::need(args.offsets[0] == 0, "offsets does not begin with 0");
  abi::need(args.offsets[args.bags] == args.occurrences, "offsets does not end with occurrences");
  for (std::size_t b = 0; b < args.bags; ++b) {
    abi::need(args.offsets[b] <= args.offsets[b + 1], "offsets is not ascending");
  }
  abi::need_index({args.inverse, args.occurrences}, args.rows, "inverse");
}

}  // namespace

extern "C" {

headrace_status headrace_gather_pool(const headrace_gather_pool_args* given,
                                     void* stream,
                                     void* workspace,
                                     size_t workspace_bytes) {
  return abi::entry("gather_pool", given, [&](const headrace_gather_pool_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    check_bags(args);
    abi::need_workspace(workspace, workspace_bytes, pool_bytes(args));
    gather_pool({.rows = rows_of(args, workspace),
                 .inverse = {args.inverse, args.occurrences},
                 .weights = weights_of(args),
                 .offsets = {args.offsets, args.bags + 1},
                 .dim = args.dim,
                 .out = {args.out, args.bags * args.dim}});
  });
}

size_t headrace_gather_pool_workspace(const headrace_gather_pool_args* given) {
  return abi::workspace_query("gather_pool", given, pool_bytes<headrace_gather_pool_args>);
}

headrace_status headrace_gather_pool_backward(const headrace_gather_pool_backward_args* given,
                                              void* stream,
                                              void*,
                                              size_t) {
  return abi::entry(
      "gather_pool_backward", given, [&](const headrace_gather_pool_backward_args& args) {
        abi::need_no_stream(stream);
        abi::check(args);
        check_bags(args);
        gather_pool_backward({.inverse = {args.inverse, args.occurrences},
                              .weights = weights_of(args),
                              .offsets = {args.offsets, args.bags + 1},
                              .dim = args.dim,
                              .out_gradients = {args.out_gradients, args.bags * args.dim},
                              .row_gradients = {args.row_gradients, args.rows * args.dim}});
      });
}

size_t headrace_gather_pool_backward_workspace(const headrace_gather_pool_backward_args* given) {
  return abi::workspace_query(
      "gather_pool_backward", given, [](const headrace_gather_pool_backward_args& args) {
        abi::check_pool_sizes(args);
        return std::size_t{0};
      });
}

headrace_status headrace_gather_pool_weights(const headrace_gather_pool_weights_args* given,
                                             void* stream,
                                             void* workspace,
                                             size_t workspace_bytes) {
  return abi::entry(
      "gather_pool_weights", given, [&](const headrace_gather_pool_weights_args& args) {
        abi::need_no_stream(stream);
        abi::check(args);
        check_bags(args);
        abi::need_workspace(workspace, workspace_bytes, pool_bytes(args));
        gather_pool_weights({.rows = rows_of(args, workspace),
                             .inverse = {args.inverse, args.occurrences},
                             .offsets = {args.offsets, args.bags + 1},
                             .dim = args.dim,
                             .out_gradients = {args.out_gradients, args.bags * args.dim},
                             .weight_gradients = {args.weight_gradients, args.occurrences}});
      });
}

size_t headrace_gather_pool_weights_workspace(const headrace_gather_pool_weights_args* given) {
  return abi::workspace_query(
      "gather_pool_weights", given, pool_bytes<headrace_gather_pool_weights_args>);
}

}  // extern "C"
