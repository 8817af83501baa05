#include "kernels/gather_fields/gather_fields.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

constexpr std::size_t samples = 256;
constexpr std::size_t fields = 39;
constexpr std::size_t unique = 5000;

/// A batch of 256 samples of 39 features over its unique rows, 1 + dim columns each; the vectors go
/// into rows of 13 dense columns and 39 fields.
struct gather_case {
  explicit gather_case(std::size_t vector_dim)
      : dim(vector_dim),
        width(1 + vector_dim),
        stride(13 + fields * vector_dim),
        rows(random_floats(unique * width)),
        out(random_floats(samples * stride)),
        packed(samples * fields * vector_dim) {
    random_stream random(1);
    for (std::size_t i = 0; i < samples * fields; ++i)
      inverse.push_back(static_cast<std::uint32_t>(random.next_below(unique)));
  }
  template <class Value>
  field_view<Value> view() {
    return {.values = std::span<Value>(out).subspan(13),
            .sample_stride = stride,
            .field_stride = dim,
            .samples = samples,
            .fields = fields,
            .dim = dim};
  }
  std::size_t dim;
  std::size_t width;
  std::size_t stride;
  std::vector<float> rows;
  std::vector<float> out;
  std::vector<float> packed;
  std::vector<std::uint32_t> inverse;
};

/// Peer: a copy of as many bytes in one piece.
void gather_fields_forward(benchmark::State& state) {
  gather_case one(static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      samples * fields,
      2 * one.dim * sizeof(float),
      [&one](std::size_t) {
        gather_fields({.rows = one.rows,
                       .width = one.width,
                       .first_column = 1,
                       .inverse = one.inverse,
                       .out = one.view<float>()});
        benchmark::ClobberMemory();
      },
      [&one](std::size_t) {
        std::memcpy(one.packed.data(), one.out.data(), one.packed.size() * sizeof(float));
        benchmark::ClobberMemory();
      });
}
BENCHMARK(gather_fields_forward)->Arg(8)->Arg(16)->Arg(64)->UseManualTime();

/// Peer: the same numbers added in one piece.
void gather_fields_gradient(benchmark::State& state) {
  gather_case one(static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      samples * fields,
      3 * one.dim * sizeof(float),
      [&one](std::size_t) {
        gather_fields_backward({.width = one.width,
                                .first_column = 1,
                                .inverse = one.inverse,
                                .out_gradients = one.view<const float>(),
                                .row_gradients = one.rows});
        benchmark::ClobberMemory();
      },
      [&one](std::size_t) {
        for (std::size_t i = 0; i < one.packed.size(); ++i) one.packed[i] += one.out[i];
        benchmark::ClobberMemory();
      });
}
BENCHMARK(gather_fields_gradient)->Arg(8)->Arg(16)->Arg(64)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
