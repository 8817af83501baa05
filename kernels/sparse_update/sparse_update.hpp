#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Numbers equal schemas::optimizer_kind.
enum class update_rule : std::uint8_t { add = 0, sgd = 1, adagrad = 2 };

/// Magnitude no weight or accumulator ever exceeds: table values are always finite. Chosen so that
/// a dot product of a few hundred such values overflows to infinity visibly, a single one never.
constexpr float weight_max = 1e30F;
constexpr float adagrad_epsilon = 1e-8F;

/// One optimizer step on rows of a table, fused with dequantization, clip and clamp.
///
/// rows [n] pointers, pairwise different, to [dim weights | dim accumulators if adagrad],
/// float-aligned. Gradients as `gradients` [n, dim] f32, or else `codes` [n, dim] i8 with `scales`
/// [n] fp16 bits. For each element, in float, each operation rounded on its own (no fused
/// multiply-add):
///   g = gradient, or code * scale; not finite counts as 0
///   g = min(max(g, -clip), clip) if clip > 0;  g = g + l2 * w if l2 != 0;  g limited to
///   ±weight_max add:      w = w + g sgd:      w = w - rate * g adagrad:  a = min(a + g * g,
///   weight_max);  w = w - (rate * g) / (sqrt(a) + adagrad_epsilon) w limited to ±weight_max
/// with `first_rate` for columns below `first_columns`. Weights finite and accumulators in
/// [0, weight_max] stay so whatever the gradients; rates, clip and l2 are finite.
/// Bit-exact: reference and every CPU target give the same bits (under the thread's one float
/// mode).
struct sparse_update_args {
  std::span<float* const> rows;
  std::size_t dim = 1;
  std::span<const float> gradients = {};
  std::span<const std::int8_t> codes = {};
  std::span<const std::uint16_t> scales = {};
  update_rule rule = update_rule::add;
  float rate = 0.0F;
  float first_rate = 0.0F;
  std::size_t first_columns = 0;
  float l2 = 0.0F;
  float clip = 0.0F;
};
void sparse_update_ref(const sparse_update_args& args);
/// Prefetches rows ahead; `rows` may be scattered over a table of any size.
void sparse_update_cpu(const sparse_update_args& args);

inline void sparse_update(const sparse_update_args& args) { sparse_update_cpu(args); }

}  // namespace headrace::kernels
