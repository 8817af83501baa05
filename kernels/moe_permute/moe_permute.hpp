#pragma once

#include "kernels/moe_router/route.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// Brings the tokens of a mixture of experts into the order of their experts, and back.
namespace headrace::kernels {

/// The place of an assignment that has none.
constexpr std::uint32_t no_place = 0xFFFFFFFF;

/// Where each assignment goes: a counting sort by (expert, token, slot).
///
/// routes [tokens, per_token] < experts, or no_expert (dropped), with fewer than 2^32 - 1
/// assignments. Out: offsets [experts + 1], the places of expert e being offsets[e] up to offsets[e
/// + 1], offsets[experts] in all; places [tokens, per_token], no_place where dropped. Exact, the
/// same in every version.
struct moe_plan_args {
  std::span<const std::uint32_t> routes;
  std::size_t per_token = 1;
  std::span<std::uint32_t> offsets;
  std::span<std::uint32_t> places;
};
void moe_plan_ref(const moe_plan_args& args);  // expert by expert over all assignments
void moe_plan_cpu(const moe_plan_args& args);

inline void moe_plan(const moe_plan_args& args) { moe_plan_cpu(args); }

/// Copies each token's row to its places.
///
/// x [tokens, dim]; places [tokens, per_token] < rows, each once, or no_place. Writes rows [places,
/// dim], not overlapping x. Exact.
template <class Value>
struct basic_moe_permute_args {
  std::span<const Value> x;
  std::span<const std::uint32_t> places;
  std::size_t per_token = 1;
  std::size_t dim = 1;
  std::span<Value> rows;
};
using moe_permute_args = basic_moe_permute_args<float>;

void moe_permute_ref(const moe_permute_args& args);
void moe_permute_ref(const basic_moe_permute_args<double>& args);
void moe_permute_cpu(const moe_permute_args& args);

inline void moe_permute(const moe_permute_args& args) { moe_permute_cpu(args); }

/// Combines what the experts made of a token: y_t = Σ_s g_ts rows_p, p the place of (t, s). Without
/// gates g = 1: that is the gradient of moe_permute, x's gradients being y.
///
/// rows [places, dim]; places [tokens, per_token] < rows, or no_place, which adds nothing; gates
/// [tokens, per_token] or empty; of a dropped assignment none is read. Writes y [tokens, dim],
/// which overlaps no input; 0 for a token without places. Sums run in the order of slots. On one
/// target the same call gives the same bits. Bound for floats: (per_token + 1) * 2^-24 * Σ_s |g
/// rows|, while nothing over- or underflows.
template <class Value>
struct basic_moe_combine_args {
  std::span<const Value> rows;
  std::span<const std::uint32_t> places;
  std::span<const Value> gates = {};
  std::size_t per_token = 1;
  std::size_t dim = 1;
  std::span<Value> y;
};
using moe_combine_args = basic_moe_combine_args<float>;

void moe_combine_ref(const moe_combine_args& args);  // double accumulators
void moe_combine_ref(const basic_moe_combine_args<double>& args);
void moe_combine_cpu(const moe_combine_args& args);

inline void moe_combine(const moe_combine_args& args) { moe_combine_cpu(args); }

/// Gradients of moe_combine with gates: drows_p = g_ts dy_t, dg_ts = <dy_t, rows_p>.
///
/// rows, places and gates as forward had them, every row at one place; y_gradients [tokens, dim].
/// Writes row_gradients [places, dim], which may be `rows` itself, and gate_gradients [tokens,
/// per_token], 0 where dropped. Bits as forward. Bounds for floats, while nothing over- or
/// underflows: row_gradients 2^-24 * |g dy|; gate_gradients (dim + 1) * 2^-24 * Σ |dy rows|.
template <class Value>
struct basic_moe_combine_backward_args {
  std::span<const Value> rows;
  std::span<const std::uint32_t> places;
  std::span<const Value> gates;
  std::size_t per_token = 1;
  std::size_t dim = 1;
  std::span<const Value> y_gradients;
  std::span<Value> row_gradients;
  std::span<Value> gate_gradients;
};
using moe_combine_backward_args = basic_moe_combine_backward_args<float>;

void moe_combine_backward_ref(const moe_combine_backward_args& args);  // double accumulators
void moe_combine_backward_ref(const basic_moe_combine_backward_args<double>& args);
void moe_combine_backward_cpu(const moe_combine_backward_args& args);

inline void moe_combine_backward(const moe_combine_backward_args& args) {
  moe_combine_backward_cpu(args);
}

}  // namespace headrace::kernels
