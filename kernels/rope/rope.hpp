#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Angles of rotary positions: for each position p the dim / 2 cosines, then the dim / 2 sines, of
/// p * base^(-2 i / dim). Computed in double, rounded once.
///
/// table [positions, dim] out, dim even and not 0. For the start of a model, not for each batch.
struct rope_table_args {
  std::size_t dim = 0;
  double base = 10'000.0;
  std::span<float> table;
};
void fill_rope_table(const rope_table_args& args);

/// Rotary position embedding (Su et al. 2021, arXiv 2104.09864, eq. 34), in place: each pair
/// (x_2i, x_2i+1) of each head of the token at position p turns by the angle p * base^(-2 i / dim).
///
/// values [tokens, heads, dim], dim even and not 0; positions [tokens], below those of the table,
/// in any order, so that a ragged batch gives each sequence its own count. `inverse` turns back,
/// which is the backward pass, too: a rotation's transpose. Neighbours are a pair, as in the paper;
/// other codes pair i with i + dim / 2, the same up to the order of a projection's columns. `table`
/// as fill_rope_table left it for this dim and base; the reference computes its own. Bound: 4 *
/// 2^-24 *
/// (|x_2i| + |x_2i+1|) for positions below 2^24. The CPU targets need not agree bit for bit.
template <class Value>
struct basic_rope_args {
  std::span<Value> values;
  std::span<const std::uint32_t> positions;
  std::size_t heads = 0;
  std::size_t dim = 0;
  double base = 10'000.0;
  std::span<const float> table = {};
  bool inverse = false;
};
using rope_args = basic_rope_args<float>;

void rope_ref(const rope_args& args);
void rope_ref(const basic_rope_args<double>& args);
void rope_cpu(const rope_args& args);

inline void rope(const rope_args& args) { rope_cpu(args); }

/// dx from dy, in place.
inline void rope_backward(rope_args args) {
  args.inverse = !args.inverse;
  rope_cpu(args);
}

}  // namespace headrace::kernels
