#include "kernels/attention/attention_90a.hpp"
#include "kernels/attention/attention_device_args.hpp"
#include "kernels/attention/attention_launch.hpp"
#include "kernels/runtime/cuda_90a.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t workspace_bytes_of(const headrace_attention_args& args) {
  abi::check_sizes(args);
  abi::need_matrix_units(args.dtype, args.head_dim);
  return 0;
}

/// sm_90a's kernel where the device and the heads have one and its tiles of 128 queries are mostly
/// full, else sm_80's.
void forward(const headrace_attention_args& args, void* stream) {
  const attention_view view = abi::view_of(args);
  const auto tokens = static_cast<std::uint32_t>(args.tokens);
  if (has_attention_90a(args.head_dim) && !are_short(tokens, view.sequences) && has_90a()) {
    return attention_90a(view, args.head_dim, tokens, args.dtype == HEADRACE_F16, stream);
  }
  abi::with_element(args.dtype, [&](auto element) {
    launch_attention<decltype(element)>(view, args.head_dim, tokens, cuda_launch{stream});
  });
}

}  // namespace

extern "C" {

headrace_status headrace_attention(const headrace_attention_args* given,
                                   void* stream,
                                   void*,
                                   size_t) {
  return abi::entry("attention", given, [&](const headrace_attention_args& args) {
    workspace_bytes_of(args);
    abi::check(args, abi::attention_alignment);
    forward(args, stream);
  });
}

size_t headrace_attention_workspace(const headrace_attention_args* given) {
  return abi::workspace_query("attention", given, [](const headrace_attention_args& args) {
    return workspace_bytes_of(args);
  });
}

}  // extern "C"
