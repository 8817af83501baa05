#pragma once

#include "kernels/abi/dense_checks.hpp"
#include "kernels/include/headrace_moe.h"

/// What both libraries refuse of the entries of headrace_moe.h; names as in dense_checks.hpp.
namespace headrace::kernels::abi {

/// tokens * per_token.
inline std::size_t need_assignments(std::uint64_t tokens, std::uint64_t per_token) {
  need(per_token >= 1, "per_token is 0");
  const std::size_t all = product(tokens, per_token, "tokens * per_token");
  need(all <= batch_max, "tokens * per_token is above 2^31 - 1");
  return all;
}

inline void need_experts(std::uint64_t experts) {
  need(experts >= 1 && experts <= width_max, "experts is not in 1 to 65536");
}

template <class Args>
void check_router_sizes(const Args& args) {
  need_flags(args.flags, HEADRACE_GATES_RENORMALISED);
  need_assignments(args.tokens, args.per_token);
  need_experts(args.experts);
  need(args.per_token <= args.experts, "per_token is above experts");
  product(args.tokens, args.experts, "tokens * experts");
}
inline void check_sizes(const headrace_moe_router_args& args) {
  check_router_sizes(args);
  need(args.capacity <= batch_max, "capacity is above 2^31 - 1");
}
inline void check_sizes(const headrace_moe_router_backward_args& args) { check_router_sizes(args); }

inline void check(const headrace_moe_router_args& args) {
  check_sizes(args);
  const std::size_t all = args.tokens * args.per_token;
  need_array(args.logits, args.tokens * args.experts, "logits");
  need_if_given(args.bias, args.experts, "bias");
  need_array(args.probabilities, args.tokens * args.experts, "probabilities");
  need_array(args.lse, args.tokens, "lse");
  need_array(args.mean_probabilities, args.experts, "mean_probabilities");
  need_array(args.chosen, all, "chosen");
  need_array(args.gates, all, "gates");
  need_array(args.loads, args.experts, "loads");
  need_array(args.routes, all, "routes");
  need_array(args.report, 1, "report");
}

inline void check(const headrace_moe_router_backward_args& args) {
  check_sizes(args);
  const std::size_t all = args.tokens * args.per_token;
  need_array(args.probabilities, args.tokens * args.experts, "probabilities");
  need_array(args.lse, args.tokens, "lse");
  need_array(args.mean_probabilities, args.experts, "mean_probabilities");
  need_array(args.chosen, all, "chosen");
  need_array(args.gates, all, "gates");
  need_array(args.loads, args.experts, "loads");
  need_array(args.routes, all, "routes");
  need_array(args.gate_gradients, all, "gate_gradients");
  need_array(args.logit_gradients, args.tokens * args.experts, "logit_gradients");
}

inline void check_sizes(const headrace_moe_plan_args& args) {
  need_flags(args.flags, 0);
  need_assignments(args.tokens, args.per_token);
  need_experts(args.experts);
}
inline void check(const headrace_moe_plan_args& args) {
  check_sizes(args);
  need_array(args.routes, args.tokens * args.per_token, "routes");
  need_array(args.offsets, args.experts + 1, "offsets");
  need_array(args.places, args.tokens * args.per_token, "places");
}

inline void check_sizes(const headrace_moe_permute_args& args) {
  need_flags(args.flags, 0);
  need_assignments(args.tokens, args.per_token);
  need(args.rows_count <= batch_max, "rows_count is above 2^31 - 1");
  need(args.row_bytes >= 2 && args.row_bytes <= 4 * width_max && args.row_bytes % 2 == 0,
       "row_bytes is no multiple of 2 in 2 to 262144");
}
inline void check(const headrace_moe_permute_args& args) {
  check_sizes(args);
  const std::size_t element = args.row_bytes % 4 == 0 ? 4 : 2;
  need_bytes(args.x, args.tokens, element, "x");
  need_array(args.places, args.tokens * args.per_token, "places");
  need_bytes(args.rows, args.rows_count, element, "rows");
}

template <class Args>
void check_combine_sizes(const Args& args) {
  need_flags(args.flags, 0);
  need_assignments(args.tokens, args.per_token);
  need_matrix(args.tokens, args.dim, 1);
  need(args.rows_count <= batch_max, "rows_count is above 2^31 - 1");
}
inline void check_sizes(const headrace_moe_combine_args& args) { check_combine_sizes(args); }
inline void check_sizes(const headrace_moe_combine_backward_args& args) {
  check_combine_sizes(args);
}

/// Without a single place there may be no rows.
inline void check(const headrace_moe_combine_args& args) {
  check_sizes(args);
  const std::size_t all = args.tokens * args.per_token;
  need_array(args.rows, args.rows_count, "rows");
  need_array(args.places, all, "places");
  need_if_given(args.gates, all, "gates");
  need_array(args.y, args.tokens * args.dim, "y");
}
inline void check(const headrace_moe_combine_backward_args& args) {
  check_sizes(args);
  const std::size_t all = args.tokens * args.per_token;
  need_array(args.rows, args.rows_count, "rows");
  need_array(args.places, all, "places");
  need_array(args.gates, all, "gates");
  need_array(args.y_gradients, args.tokens * args.dim, "y_gradients");
  need_array(args.row_gradients, args.rows_count, "row_gradients");
  need_array(args.gate_gradients, all, "gate_gradients");
}

template <class Args>
bool is_swiglu(const Args& args) {
  return (args.flags & HEADRACE_FFN_SWIGLU) != 0;
}

template <class Args>
void check_ffn_sizes(const Args& args) {
  need_flags(args.flags, HEADRACE_FFN_SWIGLU);
  need_dtype(args.dtype, "dtype");
  need_experts(args.experts);
  need_matrix(args.rows, args.dim, 1);
  need(args.hidden >= 1 && args.hidden <= width_max, "hidden is not in 1 to 65536");
  product(args.rows, args.hidden, "rows * hidden");
  product(args.experts, product(args.dim, args.hidden, "dim * hidden"), "experts * dim * hidden");
}
inline void check_sizes(const headrace_grouped_ffn_args& args) { check_ffn_sizes(args); }
inline void check_sizes(const headrace_grouped_ffn_backward_args& args) { check_ffn_sizes(args); }

/// `alignment` of the library's elements or, where it moves 16 bytes at a time, that.
template <class Args>
void check_ffn_inputs(const Args& args, std::size_t alignment) {
  check_sizes(args);
  const bool gated = is_swiglu(args);
  need_array(args.offsets, args.experts + 1, "offsets");
  need_bytes(args.x, args.rows, alignment, "x");
  need_bytes(args.w1, args.experts, alignment, "w1");
  need_bytes(args.w2, args.experts, alignment, "w2");
  need_bytes(args.first, args.rows, alignment, "first");
  need(gated || (args.w3 == nullptr && args.third == nullptr), "w3 and third are not null");
  if (gated) need_bytes(args.w3, args.experts, alignment, "w3");
  if (gated) need_bytes(args.third, args.rows, alignment, "third");
}

inline void check(const headrace_grouped_ffn_args& args, std::size_t alignment) {
  check_ffn_inputs(args, alignment);
  need_array(args.y, args.rows, "y");
}

inline void check(const headrace_grouped_ffn_backward_args& args, std::size_t alignment) {
  check_ffn_inputs(args, alignment);
  need_bytes(args.y_gradients, args.rows, alignment, "y_gradients");
  need_array(args.x_gradients, args.rows, "x_gradients");
  need_array(args.w1_gradients, args.experts, "w1_gradients");
  need_unless(args.w3_gradients, args.experts, !is_swiglu(args), "w3_gradients");
  need_array(args.w2_gradients, args.experts, "w2_gradients");
}

}  // namespace headrace::kernels::abi
