#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/softmax_checks.hpp"
#include "kernels/softmax_loss/sampled_softmax.hpp"
#include "kernels/softmax_loss/vocab_softmax.hpp"

#include <span>

// headrace_dense.h's softmax losses on the CPU.
using namespace headrace::kernels;

namespace {

/// Each position that counts has an answer that there is; the CUDA library trusts it.
template <class Args>
void need_answers(const Args& args,
                  const std::uint32_t* answers,
                  std::uint64_t below,
                  const char* text) {
  for (std::size_t t = 0; answers != nullptr && t < args.positions; ++t) {
    const bool counts = args.weights == nullptr || args.weights[t] != 0.0F;
    abi::need(!counts || answers[t] < below, text);
  }
}

template <class Args>
std::size_t vocab_bytes(const Args& args) {
  abi::check_sizes(args);
  return vocab_softmax_workspace(args.positions, args.items, args.dim) * sizeof(float);
}

}  // namespace

extern "C" {

headrace_status headrace_sampled_softmax(const headrace_sampled_softmax_args* given,
                                         void* stream,
                                         void*,
                                         size_t) {
  return abi::entry("sampled_softmax", given, [&](const headrace_sampled_softmax_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    need_answers(args, args.positives, args.candidates, "positives has one that is no candidate");
    const std::size_t scores = args.positions * args.candidates;
    *args.loss =
        sampled_softmax({.scores = {args.scores, scores},
                         .log_q = abi::span_of(args.log_q, args.log_q_rows * args.candidates),
                         .weights = abi::span_of(args.weights, args.positions),
                         .positives = abi::span_of(args.positives, args.positions),
                         .candidates = args.candidates,
                         .losses = {args.losses, args.positions},
                         .score_gradients = {args.score_gradients, scores}});
  });
}

size_t headrace_sampled_softmax_workspace(const headrace_sampled_softmax_args* given) {
  return abi::workspace_query(
      "sampled_softmax", given, [](const headrace_sampled_softmax_args& args) {
        abi::check_sizes(args);
        return std::size_t{0};
      });
}

headrace_status headrace_vocab_softmax(const headrace_vocab_softmax_args* given,
                                       void* stream,
                                       void* workspace,
                                       size_t workspace_bytes) {
  return abi::entry("vocab_softmax", given, [&](const headrace_vocab_softmax_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    need_answers(args, args.labels, args.items, "labels has one that is no item");
    abi::need_workspace(workspace, workspace_bytes, vocab_bytes(args));
    *args.loss = vocab_softmax(
        {.x = {args.x, args.positions * args.dim},
         .items = {args.vectors, args.items * args.dim},
         .dim = args.dim,
         .labels = {args.labels, args.positions},
         .weights = abi::span_of(args.weights, args.positions),
         .losses = {args.losses, args.positions},
         .lse = {args.lse, args.positions},
         .workspace = {static_cast<float*>(workspace), workspace_bytes / sizeof(float)}});
  });
}

size_t headrace_vocab_softmax_workspace(const headrace_vocab_softmax_args* given) {
  return abi::workspace_query("vocab_softmax", given, vocab_bytes<headrace_vocab_softmax_args>);
}

headrace_status headrace_vocab_softmax_backward(const headrace_vocab_softmax_backward_args* given,
                                                void* stream,
                                                void* workspace,
                                                size_t workspace_bytes) {
  return abi::entry(
      "vocab_softmax_backward", given, [&](const headrace_vocab_softmax_backward_args& args) {
        abi::need_no_stream(stream);
        abi::check(args);
        need_answers(args, args.labels, args.items, "labels has one that is no item");
        abi::need_workspace(workspace, workspace_bytes, vocab_bytes(args));
        vocab_softmax_backward(
            {.x = {args.x, args.positions * args.dim},
             .items = {args.vectors, args.items * args.dim},
             .dim = args.dim,
             .labels = {args.labels, args.positions},
             .weights = abi::span_of(args.weights, args.positions),
             .lse = {args.lse, args.positions},
             .x_gradients = {args.x_gradients, args.positions * args.dim},
             .item_gradients = {args.vector_gradients, args.items * args.dim},
             .workspace = {static_cast<float*>(workspace), workspace_bytes / sizeof(float)}});
      });
}

size_t headrace_vocab_softmax_backward_workspace(
    const headrace_vocab_softmax_backward_args* given) {
  return abi::workspace_query(
      "vocab_softmax_backward", given, vocab_bytes<headrace_vocab_softmax_backward_args>);
}

}  // extern "C"
