#include "kernels/abi/softmax_checks.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/softmax_loss/sampled_softmax_launch.hpp"
#include "kernels/softmax_loss/vocab_softmax_launch.hpp"

using namespace headrace::kernels;

namespace {

std::uint32_t narrow(std::uint64_t size) { return static_cast<std::uint32_t>(size); }

template <class Args>
device_vocab vocab_of(const Args& args) {
  return {args.x,
          args.vectors,
          args.labels,
          args.weights,
          narrow(args.positions),
          narrow(args.items),
          narrow(args.dim)};
}

std::size_t bytes(const headrace_sampled_softmax_args& args) {
  abi::check_sizes(args);
  return sum_blocks(args.positions) * sizeof(double);
}

vocab_forward_parts parts_of(const headrace_vocab_softmax_args& args, void* workspace) {
  abi::check_sizes(args);
  return {static_cast<std::byte*>(workspace), narrow(args.positions), narrow(args.items)};
}

vocab_backward_parts parts_of(const headrace_vocab_softmax_backward_args& args, void* workspace) {
  abi::check_sizes(args);
  return {static_cast<std::byte*>(workspace),
          narrow(args.positions),
          narrow(args.items),
          narrow(args.dim)};
}

}  // namespace

extern "C" {

headrace_status headrace_sampled_softmax(const headrace_sampled_softmax_args* given,
                                         void* stream,
                                         void* workspace,
                                         size_t workspace_bytes) {
  return abi::entry("sampled_softmax", given, [&](const headrace_sampled_softmax_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    const bool shared = args.log_q_rows == 1 && args.positions != 1;
    launch_sampled_softmax({.scores = args.scores,
                            .log_q = args.log_q,
                            .log_q_stride = shared ? 0 : args.candidates,
                            .weights = args.weights,
                            .positives = args.positives,
                            .losses = args.losses,
                            .score_gradients = args.score_gradients,
                            .positions = args.positions,
                            .candidates = narrow(args.candidates)},
                           static_cast<double*>(workspace),
                           args.loss,
                           cuda_launch{stream});
  });
}

size_t headrace_sampled_softmax_workspace(const headrace_sampled_softmax_args* given) {
  return abi::workspace_query(
      "sampled_softmax", given, [](const headrace_sampled_softmax_args& args) {
        return bytes(args);
      });
}

headrace_status headrace_vocab_softmax(const headrace_vocab_softmax_args* given,
                                       void* stream,
                                       void* workspace,
                                       size_t workspace_bytes) {
  return abi::entry("vocab_softmax", given, [&](const headrace_vocab_softmax_args& args) {
    abi::check(args);
    const vocab_forward_parts parts = parts_of(args, workspace);
    abi::need_workspace(workspace, workspace_bytes, parts.bytes);
    launch_vocab_softmax(
        vocab_of(args), parts, args.losses, args.lse, args.loss, cuda_launch{stream});
  });
}

size_t headrace_vocab_softmax_workspace(const headrace_vocab_softmax_args* given) {
  return abi::workspace_query("vocab_softmax", given, [](const headrace_vocab_softmax_args& args) {
    return parts_of(args, nullptr).bytes;
  });
}

headrace_status headrace_vocab_softmax_backward(const headrace_vocab_softmax_backward_args* given,
                                                void* stream,
                                                void* workspace,
                                                size_t workspace_bytes) {
  return abi::entry(
      "vocab_softmax_backward", given, [&](const headrace_vocab_softmax_backward_args& args) {
        abi::check(args);
        const vocab_backward_parts parts = parts_of(args, workspace);
        abi::need_workspace(workspace, workspace_bytes, parts.bytes);
        launch_vocab_softmax_backward(vocab_of(args),
                                      parts,
                                      args.lse,
                                      args.x_gradients,
                                      args.vector_gradients,
                                      cuda_launch{stream});
      });
}

size_t headrace_vocab_softmax_backward_workspace(
    const headrace_vocab_softmax_backward_args* given) {
  return abi::workspace_query(
      "vocab_softmax_backward", given, [](const headrace_vocab_softmax_backward_args& args) {
        return parts_of(args, nullptr).bytes;
      });
}

}  // extern "C"
