#include "kernels/abi/selection_checks.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/top_k/top_k_launch.hpp"

using namespace headrace::kernels;

namespace {

top_k_parts parts_of(const headrace_top_k_args& args, void* workspace) {
  return {static_cast<std::byte*>(workspace), static_cast<std::uint32_t>(args.count)};
}

}  // namespace

extern "C" {

headrace_status headrace_top_k(const headrace_top_k_args* given,
                               void* stream,
                               void* workspace,
                               size_t workspace_bytes) {
  return abi::entry("top_k", given, [&](const headrace_top_k_args& args) {
    abi::check(args);
    const top_k_parts parts = parts_of(args, workspace);
    abi::need_workspace(workspace, workspace_bytes, parts.bytes);
    device::top_k_view view{};
    view.values = args.values;
    view.indices = args.indices;
    view.selected = args.selected;
    view.n = static_cast<std::uint32_t>(args.count);
    view.k = static_cast<std::uint32_t>(args.k);
    launch_top_k(view, parts, cuda_launch{stream});
  });
}

size_t headrace_top_k_workspace(const headrace_top_k_args* given) {
  return abi::workspace_query("top_k", given, [](const headrace_top_k_args& args) {
    abi::check_top_k_sizes(args);
    return parts_of(args, nullptr).bytes;
  });
}

}  // extern "C"
