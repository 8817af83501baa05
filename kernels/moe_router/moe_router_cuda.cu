#include "kernels/abi/moe_checks.hpp"
#include "kernels/moe_router/moe_router_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

static_assert(sizeof(headrace_router_report) == sizeof(device::router_numbers));
static_assert(offsetof(headrace_router_report, utilisation) ==
              offsetof(device::router_numbers, utilisation));
static_assert(offsetof(headrace_router_report, dropped) ==
              offsetof(device::router_numbers, dropped));
static_assert(HEADRACE_NO_EXPERT == no_expert);

void need_lanes(std::uint64_t experts, std::uint64_t per_token) {
  if (experts > device::router_experts_max)
    abi::refuse(HEADRACE_UNSUPPORTED, "experts is above 256");
  if (per_token > device::router_per_token_max)
    abi::refuse(HEADRACE_UNSUPPORTED, "per_token is above 32");
}

std::size_t bytes(const headrace_moe_router_args& args) {
  abi::check_sizes(args);
  need_lanes(args.experts, args.per_token);
  return router_bytes(static_cast<std::uint32_t>(args.tokens),
                      static_cast<std::uint32_t>(args.experts),
                      static_cast<std::uint32_t>(args.per_token),
                      args.capacity > 0);
}

std::size_t bytes(const headrace_moe_router_backward_args& args) {
  abi::check_sizes(args);
  need_lanes(args.experts, args.per_token);
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_moe_router(const headrace_moe_router_args* given,
                                    void* stream,
                                    void* workspace,
                                    size_t workspace_bytes) {
  return abi::entry("moe_router", given, [&](const headrace_moe_router_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    launch_moe_router({.logits = args.logits,
                       .bias = args.bias,
                       .probabilities = args.probabilities,
                       .lse = args.lse,
                       .mean_partials = nullptr,
                       .lse_partials = nullptr,
                       .chosen = args.chosen,
                       .gates = args.gates,
                       .loads = args.loads,
                       .routes = args.routes,
                       .tokens = static_cast<std::uint32_t>(args.tokens),
                       .experts = static_cast<std::uint32_t>(args.experts),
                       .per_token = static_cast<std::uint32_t>(args.per_token),
                       .renormalised = (args.flags & HEADRACE_GATES_RENORMALISED) != 0},
                      {.mean = args.mean_probabilities,
                       .loads = args.loads,
                       .lse_partials = nullptr,
                       .report = reinterpret_cast<device::router_numbers*>(args.report),
                       .tokens = static_cast<std::uint32_t>(args.tokens),
                       .experts = static_cast<std::uint32_t>(args.experts),
                       .per_token = static_cast<std::uint32_t>(args.per_token),
                       .capacity = static_cast<std::uint32_t>(args.capacity),
                       .warps = 0,
                       .balance = args.balance,
                       .entropy = args.entropy,
                       .z = args.z},
                      cut_router_workspace(workspace,
                                           static_cast<std::uint32_t>(args.tokens),
                                           static_cast<std::uint32_t>(args.experts),
                                           static_cast<std::uint32_t>(args.per_token)),
                      cuda_launch{stream});
  });
}

size_t headrace_moe_router_workspace(const headrace_moe_router_args* given) {
  return abi::workspace_query(
      "moe_router", given, [](const headrace_moe_router_args& args) { return bytes(args); });
}

headrace_status headrace_moe_router_backward(const headrace_moe_router_backward_args* given,
                                             void* stream,
                                             void*,
                                             size_t) {
  return abi::entry(
      "moe_router_backward", given, [&](const headrace_moe_router_backward_args& args) {
        abi::check(args);
        need_lanes(args.experts, args.per_token);
        launch_moe_router_backward({.probabilities = args.probabilities,
                                    .lse = args.lse,
                                    .mean = args.mean_probabilities,
                                    .chosen = args.chosen,
                                    .gates = args.gates,
                                    .loads = args.loads,
                                    .routes = args.routes,
                                    .gate_gradients = args.gate_gradients,
                                    .logit_gradients = args.logit_gradients,
                                    .tokens = static_cast<std::uint32_t>(args.tokens),
                                    .experts = static_cast<std::uint32_t>(args.experts),
                                    .per_token = static_cast<std::uint32_t>(args.per_token),
                                    .renormalised = (args.flags & HEADRACE_GATES_RENORMALISED) != 0,
                                    .balance = args.balance,
                                    .entropy = args.entropy,
                                    .z = args.z},
                                   cuda_launch{stream});
      });
}

size_t headrace_moe_router_backward_workspace(const headrace_moe_router_backward_args* given) {
  return abi::workspace_query(
      "moe_router_backward", given, [](const headrace_moe_router_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
