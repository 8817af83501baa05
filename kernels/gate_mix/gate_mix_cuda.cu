#include "kernels/abi/losses_checks.hpp"
#include "kernels/gate_mix/gate_mix_launch.hpp"
#include "kernels/runtime/alignment.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t bytes(const headrace_gate_mix_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_gate_mix_backward_args& args) {
  abi::check_sizes(args);
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_gate_mix(const headrace_gate_mix_args* given,
                                  void* stream,
                                  void*,
                                  size_t) {
  return abi::entry("gate_mix", given, [&](const headrace_gate_mix_args& args) {
    abi::check(args);
    launch_gate_mix(
        {.gate_logits = args.gate_logits,
         .expert_outputs = args.expert_outputs,
         .gates = args.gates,
         .outputs = args.outputs,
         .rows = static_cast<std::uint32_t>(args.rows),
         .experts = static_cast<std::uint32_t>(args.experts),
         .dim = static_cast<std::uint32_t>(args.dim),
         .aligned = args.dim % 4 == 0 && aligned_to_16(args.expert_outputs, args.outputs)},
        cuda_launch{stream});
  });
}

size_t headrace_gate_mix_workspace(const headrace_gate_mix_args* given) {
  return abi::workspace_query(
      "gate_mix", given, [](const headrace_gate_mix_args& args) { return bytes(args); });
}

headrace_status headrace_gate_mix_backward(const headrace_gate_mix_backward_args* given,
                                           void* stream,
                                           void*,
                                           size_t) {
  return abi::entry("gate_mix_backward", given, [&](const headrace_gate_mix_backward_args& args) {
    abi::check(args);
    launch_gate_mix_backward({.gates = args.gates,
                              .expert_outputs = args.expert_outputs,
                              .output_gradients = args.output_gradients,
                              .gate_logit_gradients = args.gate_logit_gradients,
                              .expert_gradients = args.expert_gradients,
                              .rows = static_cast<std::uint32_t>(args.rows),
                              .experts = static_cast<std::uint32_t>(args.experts),
                              .dim = static_cast<std::uint32_t>(args.dim),
                              .aligned = args.dim % 4 == 0 && aligned_to_16(args.expert_outputs,
                                                                            args.output_gradients,
                                                                            args.expert_gradients)},
                             cuda_launch{stream});
  });
}

size_t headrace_gate_mix_backward_workspace(const headrace_gate_mix_backward_args* given) {
  return abi::workspace_query(
      "gate_mix_backward", given, [](const headrace_gate_mix_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
