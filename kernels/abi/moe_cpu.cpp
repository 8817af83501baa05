#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/moe_checks.hpp"
#include "kernels/moe_permute/moe_permute.hpp"
#include "kernels/moe_router/moe_router.hpp"

#include <cstring>
#include <span>

// Entries of headrace_moe.h on the CPU.
using namespace headrace::kernels;

namespace {

static_assert(HEADRACE_NO_EXPERT == no_expert && HEADRACE_NO_PLACE == no_place);

/// Each index is below `end`, or 0xFFFFFFFF: none.
void need_below(const std::uint32_t* indices,
                std::size_t count,
                std::uint64_t end,
                const char* text) {
  for (const std::uint32_t index : abi::span_of(indices, count)) {
    abi::need(index < end || index == no_place, text);
  }
}

std::size_t bytes(const headrace_moe_router_args& args) {
  abi::check_sizes(args);
  return moe_router_workspace(args.tokens, args.experts, args.per_token, args.capacity) *
         sizeof(std::uint32_t);
}

std::size_t bytes(const headrace_moe_router_backward_args& args) {
  abi::check_sizes(args);
  return args.experts * sizeof(float);
}

std::size_t bytes(const headrace_moe_plan_args& args) {
  abi::check_sizes(args);
  return 0;
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

headrace_status headrace_moe_router(const headrace_moe_router_args* given,
                                    void* stream,
                                    void* workspace,
                                    size_t workspace_bytes) {
  return abi::entry("moe_router", given, [&](const headrace_moe_router_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    const router_report made =
        moe_router({.logits = {args.logits, args.tokens * args.experts},
                    .bias = abi::span_of(args.bias, args.experts),
                    .experts = args.experts,
                    .per_token = args.per_token,
                    .capacity = args.capacity,
                    .renormalised = (args.flags & HEADRACE_GATES_RENORMALISED) != 0,
                    .losses = {args.balance, args.entropy, args.z},
                    .probabilities = {args.probabilities, args.tokens * args.experts},
                    .lse = {args.lse, args.tokens},
                    .mean_probabilities = {args.mean_probabilities, args.experts},
                    .chosen = {args.chosen, args.tokens * args.per_token},
                    .gates = {args.gates, args.tokens * args.per_token},
                    .loads = {args.loads, args.experts},
                    .routes = {args.routes, args.tokens * args.per_token},
                    .workspace = {static_cast<std::uint32_t*>(workspace),
                                  workspace_bytes / sizeof(std::uint32_t)}});
    *args.report = {
        made.balance_loss, made.entropy_loss, made.z_loss, made.utilisation, made.dropped};
  });
}

size_t headrace_moe_router_workspace(const headrace_moe_router_args* given) {
  return abi::workspace_query(
      "moe_router", given, [](const headrace_moe_router_args& args) { return bytes(args); });
}

headrace_status headrace_moe_router_backward(const headrace_moe_router_backward_args* given,
                                             void* stream,
                                             void* workspace,
                                             size_t workspace_bytes) {
  return abi::entry(
      "moe_router_backward", given, [&](const headrace_moe_router_backward_args& args) {
        abi::need_no_stream(stream);
        abi::check(args);
        abi::need_workspace(workspace, workspace_bytes, bytes(args));
        need_below(args.chosen,
                   args.tokens * args.per_token,
                   args.experts,
                   "chosen has an expert that there isn't");
        moe_router_backward({.experts = args.experts,
                             .per_token = args.per_token,
                             .renormalised = (args.flags & HEADRACE_GATES_RENORMALISED) != 0,
                             .losses = {args.balance, args.entropy, args.z},
                             .probabilities = {args.probabilities, args.tokens * args.experts},
                             .lse = {args.lse, args.tokens},
                             .mean_probabilities = {args.mean_probabilities, args.experts},
                             .chosen = {args.chosen, args.tokens * args.per_token},
                             .gates = {args.gates, args.tokens * args.per_token},
                             .loads = {args.loads, args.experts},
                             .routes = {args.routes, args.tokens * args.per_token},
                             .gate_gradients = {args.gate_gradients, args.tokens * args.per_token},
                             .logit_gradients = {args.logit_gradients, args.tokens * args.experts},
                             .workspace = {static_cast<float*>(workspace), args.experts}});
      });
}

size_t headrace_moe_router_backward_workspace(const headrace_moe_router_backward_args* given) {
  return abi::workspace_query(
      "moe_router_backward", given, [](const headrace_moe_router_backward_args& args) {
        return bytes(args);
      });
}

headrace_status headrace_moe_plan(const headrace_moe_plan_args* given,
                                  void* stream,
                                  void*,
                                  size_t) {
  return abi::entry("moe_plan", given, [&](const headrace_moe_plan_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    need_below(args.routes,
               args.tokens * args.per_token,
               args.experts,
               "routes has an expert that there isn't");
    moe_plan({.routes = {args.routes, args.tokens * args.per_token},
              .per_token = args.per_token,
              .offsets = {args.offsets, args.experts + 1},
              .places = {args.places, args.tokens * args.per_token}});
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
    abi::need_no_stream(stream);
    abi::check(args);
    need_below(args.places,
               args.tokens * args.per_token,
               args.rows_count,
               "places has a row that there isn't");
    for (std::uint64_t s = 0; s < args.tokens * args.per_token; ++s) {
      if (args.places[s] == no_place) continue;
      std::memcpy(static_cast<std::byte*>(args.rows) + args.places[s] * args.row_bytes,
                  static_cast<const std::byte*>(args.x) + s / args.per_token * args.row_bytes,
                  args.row_bytes);
    }
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
    abi::need_no_stream(stream);
    abi::check(args);
    need_below(args.places,
               args.tokens * args.per_token,
               args.rows_count,
               "places has a row that there isn't");
    moe_combine({.rows = {args.rows, args.rows_count * args.dim},
                 .places = {args.places, args.tokens * args.per_token},
                 .gates = abi::span_of(args.gates, args.tokens * args.per_token),
                 .per_token = args.per_token,
                 .dim = args.dim,
                 .y = {args.y, args.tokens * args.dim}});
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
        abi::need_no_stream(stream);
        abi::check(args);
        need_below(args.places,
                   args.tokens * args.per_token,
                   args.rows_count,
                   "places has a row that there isn't");
        moe_combine_backward(
            {.rows = {args.rows, args.rows_count * args.dim},
             .places = {args.places, args.tokens * args.per_token},
             .gates = {args.gates, args.tokens * args.per_token},
             .per_token = args.per_token,
             .dim = args.dim,
             .y_gradients = {args.y_gradients, args.tokens * args.dim},
             .row_gradients = {args.row_gradients, args.rows_count * args.dim},
             .gate_gradients = {args.gate_gradients, args.tokens * args.per_token}});
      });
}

size_t headrace_moe_combine_backward_workspace(const headrace_moe_combine_backward_args* given) {
  return abi::workspace_query(
      "moe_combine_backward", given, [](const headrace_moe_combine_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
