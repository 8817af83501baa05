#include "kernels/abi/moe_checks.hpp"
#include "kernels/moe_permute/moe_permute_launch.hpp"
#include "kernels/runtime/alignment.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t bytes(const headrace_moe_plan_args& args) {
  abi::check_sizes(args);
  if (args.experts > device::plan_experts_max)
    abi::refuse(HEADRACE_UNSUPPORTED, "experts is above 1024");
  return moe_plan_words(static_cast<std::uint32_t>(args.tokens * args.per_token),
                        static_cast<std::uint32_t>(args.experts)) *
         sizeof(std::uint32_t);
}

std::size_t bytes(const headrace_moe_permute_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_moe_combine_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_moe_combine_backward_args& args) {
  abi::check_sizes(args);
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_moe_plan(const headrace_moe_plan_args* given,
                                  void* stream,
                                  void* workspace,
                                  size_t workspace_bytes) {
  return abi::entry("moe_plan", given, [&](const headrace_moe_plan_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    launch_moe_plan({.routes = args.routes,
                     .offsets = args.offsets,
                     .places = args.places,
                     .listed = nullptr,
                     .counts = static_cast<std::uint32_t*>(workspace),
                     .assignments = static_cast<std::uint32_t>(args.tokens * args.per_token),
                     .experts = static_cast<std::uint32_t>(args.experts),
                     .pieces = 0},
                    cuda_launch{stream});
  });
}

size_t headrace_moe_plan_workspace(const headrace_moe_plan_args* given) {
  return abi::workspace_query(
      "moe_plan", given, [](const headrace_moe_plan_args& args) { return bytes(args); });
}

headrace_status headrace_moe_permute(const headrace_moe_permute_args* given,
                                     void* stream,
                                     void*,
                                     size_t) {
  return abi::entry("moe_permute", given, [&](const headrace_moe_permute_args& args) {
    abi::check(args);
    launch_moe_permute(
        {.x = args.x,
         .places = args.places,
         .rows = args.rows,
         .tokens = static_cast<std::uint32_t>(args.tokens),
         .per_token = static_cast<std::uint32_t>(args.per_token),
         .words = 0},
        args.row_bytes,
        aligned_to_16(static_cast<const char*>(args.x), static_cast<const char*>(args.rows)),
        cuda_launch{stream});
  });
}

size_t headrace_moe_permute_workspace(const headrace_moe_permute_args* given) {
  return abi::workspace_query(
      "moe_permute", given, [](const headrace_moe_permute_args& args) { return bytes(args); });
}

headrace_status headrace_moe_combine(const headrace_moe_combine_args* given,
                                     void* stream,
                                     void*,
                                     size_t) {
  return abi::entry("moe_combine", given, [&](const headrace_moe_combine_args& args) {
    abi::check(args);
    launch_moe_combine({.rows = args.rows,
                        .places = args.places,
                        .gates = args.gates,
                        .y = args.y,
                        .tokens = static_cast<std::uint32_t>(args.tokens),
                        .per_token = static_cast<std::uint32_t>(args.per_token),
                        .dim = static_cast<std::uint32_t>(args.dim),
                        .aligned = args.dim % 4 == 0 && aligned_to_16(args.rows, args.y)},
                       cuda_launch{stream});
  });
}

size_t headrace_moe_combine_workspace(const headrace_moe_combine_args* given) {
  return abi::workspace_query(
      "moe_combine", given, [](const headrace_moe_combine_args& args) { return bytes(args); });
}

headrace_status headrace_moe_combine_backward(const headrace_moe_combine_backward_args* given,
                                              void* stream,
                                              void*,
                                              size_t) {
  return abi::entry(
      "moe_combine_backward", given, [&](const headrace_moe_combine_backward_args& args) {
        abi::check(args);
        launch_moe_combine_backward(
            {.rows = args.rows,
             .places = args.places,
             .gates = args.gates,
             .y_gradients = args.y_gradients,
             .row_gradients = args.row_gradients,
             .gate_gradients = args.gate_gradients,
             .assignments = static_cast<std::uint32_t>(args.tokens * args.per_token),
             .per_token = static_cast<std::uint32_t>(args.per_token),
             .dim = static_cast<std::uint32_t>(args.dim),
             .aligned = args.dim % 4 == 0 &&
                        aligned_to_16(args.rows, args.y_gradients, args.row_gradients)},
            cuda_launch{stream});
      });
}

size_t headrace_moe_combine_backward_workspace(const headrace_moe_combine_backward_args* given) {
  return abi::workspace_query(
      "moe_combine_backward", given, [](const headrace_moe_combine_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
