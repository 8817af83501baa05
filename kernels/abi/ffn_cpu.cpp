#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/moe_checks.hpp"
#include "kernels/grouped_ffn/grouped_ffn.hpp"

#include <span>

// The experts' nets of headrace_moe.h on the CPU.
using namespace headrace::kernels;

namespace {

template <class Args>
ffn_sizes sizes_of(const Args& args) {
  return {.form = abi::is_swiglu(args) ? ffn_form::swiglu : ffn_form::relu,
          .experts = args.experts,
          .dim = args.dim,
          .hidden = args.hidden};
}

template <class Args>
std::size_t bytes(const Args& args) {
  abi::check_sizes(args);
  if (args.dtype != HEADRACE_F32) abi::refuse(HEADRACE_UNSUPPORTED, "dtype is not f32");
  return grouped_ffn_workspace(sizes_of(args), args.rows) * sizeof(float);
}

/// Offsets ascend from 0 and stay within the rows; returns how many rows there are.
template <class Args>
std::size_t rows_of(const Args& args) {
  abi::need(args.offsets[0] == 0, "offsets does not begin with 0");
  for (std::uint64_t e = 0; e < args.experts; ++e) {
    abi::need(args.offsets[e] <= args.offsets[e + 1], "offsets does not ascend");
  }
  abi::need(args.offsets[args.experts] <= args.rows, "offsets goes beyond the rows");
  return args.offsets[args.experts];
}

/// f32 of an array, nothing of null.
std::span<const float> floats(const void* array, std::size_t count) {
  return {static_cast<const float*>(array), array == nullptr ? 0 : count};
}
std::span<float> floats(void* array, std::size_t count) {
  return {static_cast<float*>(array), array == nullptr ? 0 : count};
}

}  // namespace

extern "C" {

headrace_status headrace_grouped_ffn(const headrace_grouped_ffn_args* given,
                                     void* stream,
                                     void* workspace,
                                     size_t workspace_bytes) {
  return abi::entry("grouped_ffn", given, [&](const headrace_grouped_ffn_args& args) {
    abi::need_no_stream(stream);
    const std::size_t needed = bytes(args);
    abi::check(args, alignof(float));
    abi::need_workspace(workspace, workspace_bytes, needed);
    const std::size_t rows = rows_of(args);
    const std::size_t weights = args.experts * args.dim * args.hidden;
    grouped_ffn({.sizes = sizes_of(args),
                 .offsets = {args.offsets, args.experts + 1},
                 .x = floats(args.x, rows * args.dim),
                 .w1 = floats(args.w1, weights),
                 .w3 = floats(args.w3, weights),
                 .w2 = floats(args.w2, weights),
                 .first = floats(args.first, rows * args.hidden),
                 .third = floats(args.third, rows * args.hidden),
                 .y = floats(args.y, rows * args.dim),
                 .workspace = floats(workspace, needed / sizeof(float))});
  });
}

size_t headrace_grouped_ffn_workspace(const headrace_grouped_ffn_args* given) {
  return abi::workspace_query(
      "grouped_ffn", given, [](const headrace_grouped_ffn_args& args) { return bytes(args); });
}

headrace_status headrace_grouped_ffn_backward(const headrace_grouped_ffn_backward_args* given,
                                              void* stream,
                                              void* workspace,
                                              size_t workspace_bytes) {
  return abi::entry(
      "grouped_ffn_backward", given, [&](const headrace_grouped_ffn_backward_args& args) {
        abi::need_no_stream(stream);
        const std::size_t needed = bytes(args);
        abi::check(args, alignof(float));
        abi::need_workspace(workspace, workspace_bytes, needed);
        const std::size_t rows = rows_of(args);
        const std::size_t weights = args.experts * args.dim * args.hidden;
        grouped_ffn_backward({.sizes = sizes_of(args),
                              .offsets = {args.offsets, args.experts + 1},
                              .x = floats(args.x, rows * args.dim),
                              .w1 = floats(args.w1, weights),
                              .w3 = floats(args.w3, weights),
                              .w2 = floats(args.w2, weights),
                              .first = floats(args.first, rows * args.hidden),
                              .third = floats(args.third, rows * args.hidden),
                              .y_gradients = floats(args.y_gradients, rows * args.dim),
                              .x_gradients = floats(args.x_gradients, rows * args.dim),
                              .w1_gradients = floats(args.w1_gradients, weights),
                              .w3_gradients = floats(args.w3_gradients, weights),
                              .w2_gradients = floats(args.w2_gradients, weights),
                              .workspace = floats(workspace, needed / sizeof(float))});
      });
}

size_t headrace_grouped_ffn_backward_workspace(const headrace_grouped_ffn_backward_args* given) {
  return abi::workspace_query(
      "grouped_ffn_backward", given, [](const headrace_grouped_ffn_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
