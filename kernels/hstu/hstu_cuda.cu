#include "kernels/hstu/hstu_device_args.hpp"
#include "kernels/hstu/hstu_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t workspace_bytes_of(const headrace_hstu_args& args) {
  abi::check_sizes(args);
  abi::need_matrix_units(args);
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_hstu(const headrace_hstu_args* given, void* stream, void*, size_t) {
  return abi::entry("hstu", given, [&](const headrace_hstu_args& args) {
    workspace_bytes_of(args);
    abi::check(args, abi::attention_alignment);
    abi::with_element(args.dtype, [&](auto element) {
      launch_hstu<decltype(element)>(abi::view_of(args),
                                     args.head_dim,
                                     static_cast<std::uint32_t>(args.tokens),
                                     cuda_launch{stream});
    });
  });
}

size_t headrace_hstu_workspace(const headrace_hstu_args* given) {
  return abi::workspace_query(
      "hstu", given, [](const headrace_hstu_args& args) { return workspace_bytes_of(args); });
}

}  // extern "C"
