#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Values a row starts with, from its key alone: no state, so every build and any order of creation
/// gives the same bits.
///
/// keys [n] in. Out: `rows` [n] pointers to dim floats each, or, where `rows` is empty, `values`
/// [n, dim]. Column c of key k is 0 for c < first_order_columns, else scale * (2 * u - 1) with u =
/// unit_float(counter_draw(seed, k, c)) (base/random.hpp). 2u - 1 is exact in float, the product is
/// rounded once: bit-exact on every target. `scale` is finite.
struct init_rows_args {
  std::span<const std::uint64_t> keys;
  std::uint64_t seed = 1;
  float scale = 0.0F;
  std::size_t first_order_columns = 0;
  std::size_t dim = 1;
  std::span<float> values = {};
  std::span<float* const> rows = {};
};
void init_rows_ref(const init_rows_args& args);
/// Integer hashing dominates and new rows are rare beside known ones: plain code is the CPU
/// version.
void init_rows_cpu(const init_rows_args& args);

inline void init_rows(const init_rows_args& args) { init_rows_cpu(args); }

}  // namespace headrace::kernels
