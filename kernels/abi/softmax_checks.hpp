#pragma once

#include "kernels/abi/dense_checks.hpp"

/// What both libraries refuse of headrace_dense.h's softmax losses.
namespace headrace::kernels::abi {

constexpr std::uint64_t candidates_max = std::uint64_t{1} << 20;

inline void check_sizes(const headrace_sampled_softmax_args& args) {
  need_flags(args.flags, 0);
  need(args.positions <= batch_max, "positions is above 2^31 - 1");
  need(args.candidates >= 1 && args.candidates <= candidates_max, "candidates is not in 1 to 2^20");
  need(args.log_q_rows <= 1 || args.log_q_rows == args.positions,
       "log_q_rows is neither 0, 1 nor positions");
  product(args.positions, args.candidates, "positions * candidates");
}

inline void check(const headrace_sampled_softmax_args& args) {
  check_sizes(args);
  const std::size_t scores = args.positions * args.candidates;
  need_array(args.scores, scores, "scores");
  need_unless(args.log_q, args.log_q_rows * args.candidates, args.log_q_rows == 0, "log_q");
  need_if_given(args.weights, args.positions, "weights");
  need_if_given(args.positives, args.positions, "positives");
  need_array(args.losses, args.positions, "losses");
  need_array(args.score_gradients, scores, "score_gradients");
  need_array(args.loss, 1, "loss");
}

template <class Args>
void check_vocab_sizes(const Args& args) {
  need_flags(args.flags, 0);
  need(args.positions <= batch_max, "positions is above 2^31 - 1");
  need(args.items >= 1 && args.items <= batch_max, "items is not in 1 to 2^31 - 1");
  need(args.dim >= 1 && args.dim <= width_max, "dim is not in 1 to 65536");
}
inline void check_sizes(const headrace_vocab_softmax_args& args) { check_vocab_sizes(args); }
inline void check_sizes(const headrace_vocab_softmax_backward_args& args) {
  check_vocab_sizes(args);
}

template <class Args>
void check_vocab_inputs(const Args& args) {
  check_sizes(args);
  need_array(args.x, args.positions * args.dim, "x");
  need_array(args.vectors, args.items * args.dim, "vectors");
  need_array(args.labels, args.positions, "labels");
  need_if_given(args.weights, args.positions, "weights");
}

inline void check(const headrace_vocab_softmax_args& args) {
  check_vocab_inputs(args);
  need_array(args.losses, args.positions, "losses");
  need_array(args.lse, args.positions, "lse");
  need_array(args.loss, 1, "loss");
}

inline void check(const headrace_vocab_softmax_backward_args& args) {
  check_vocab_inputs(args);
  need_array(args.lse, args.positions, "lse");
  need_array(args.x_gradients, args.positions * args.dim, "x_gradients");
  need_array(args.vector_gradients, args.items * args.dim, "vector_gradients");
}

}  // namespace headrace::kernels::abi
