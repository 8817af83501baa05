#include "kernels/dot_interaction/dot_interaction.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr std::size_t samples = 256;

/// 256 samples, and room for the square matrix that a plain matrix product works with.
struct dot_case {
  dot_case(std::size_t field_n, std::size_t vector_dim)
      : fields(field_n),
        dim(vector_dim),
        values(random_floats(samples * field_n * vector_dim)),
        gradients(values.size()),
        out(random_floats(samples * field_pairs(field_n))),
        workspace(dot_interaction_workspace(field_n, vector_dim)),
        square(field_n * field_n),
        gemm_space(std::max(gemm_workspace(field_n, field_n, vector_dim),
                            gemm_workspace(field_n, vector_dim, field_n))) {}

  field_view<const float> view() const {
    return packed_fields<const float>(values, samples, fields, dim);
  }
  double flops() const { return 2.0 * static_cast<double>(samples * field_pairs(fields) * dim); }

  /// E Eᵀ by gemm, then a copy of its triangle.
  void forward_by_gemm() {
    for (std::size_t s = 0; s < samples; ++s) {
      const float* e = values.data() + s * fields * dim;
      gemm({.a = e,
            .a_stride = dim,
            .b = e,
            .b_stride = dim,
            .b_transposed = true,
            .c = square.data(),
            .c_stride = fields,
            .m = fields,
            .n = fields,
            .k = dim,
            .workspace = gemm_space});
      float* to = out.data() + s * field_pairs(fields);
      for (std::size_t i = 1; i < fields; ++i) {
        std::copy_n(square.data() + i * fields, i, to + pair_index(i, 0));
      }
    }
  }

  /// The symmetric matrix, then its product with E by gemm.
  void backward_by_gemm() {
    for (std::size_t s = 0; s < samples; ++s) {
      const float* g = out.data() + s * field_pairs(fields);
      for (std::size_t i = 1; i < fields; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
          square[i * fields + j] = square[j * fields + i] = g[pair_index(i, j)];
        }
      }
      gemm({.a = square.data(),
            .a_stride = fields,
            .b = values.data() + s * fields * dim,
            .b_stride = dim,
            .c = gradients.data() + s * fields * dim,
            .c_stride = dim,
            .m = fields,
            .n = dim,
            .k = fields,
            .workspace = gemm_space});
    }
  }

  std::size_t fields;
  std::size_t dim;
  std::vector<float> values;
  std::vector<float> gradients;
  std::vector<float> out;
  std::vector<float> workspace;
  std::vector<float> square;
  std::vector<float> gemm_space;
};

void sizes(benchmark::internal::Benchmark* bench) {
  bench->Args({27, 16})->Args({27, 64})->Args({27, 128})->Args({8, 16})->Args({64, 32});
  bench->UseManualTime();
}

/// Peer: a matrix product a sample, then a copy of the triangle. GFLOP/s counts the pairs alone.
void dot_interaction_forward(benchmark::State& state) {
  dot_case one(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  compare(
      state,
      samples,
      0,
      [&one](std::size_t) {
        dot_interaction({.fields = one.view(),
                         .out = one.out,
                         .out_stride = field_pairs(one.fields),
                         .workspace = one.workspace});
        benchmark::ClobberMemory();
      },
      [&one](std::size_t) {
        one.forward_by_gemm();
        benchmark::ClobberMemory();
      });
  state.counters["GFLOP/s"] = one.flops() * state.counters["M_items/s"] * 1e-3 / samples;
}
BENCHMARK(dot_interaction_forward)->Apply(sizes);

/// Peer: the symmetric matrix written out, then a matrix product a sample. GFLOP/s counts both
/// triangles.
void dot_interaction_gradient(benchmark::State& state) {
  dot_case one(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  compare(
      state,
      samples,
      0,
      [&one](std::size_t) {
        dot_interaction_backward(
            {.fields = one.view(),
             .out_gradients = one.out,
             .out_stride = field_pairs(one.fields),
             .field_gradients = packed_fields<float>(one.gradients, samples, one.fields, one.dim)});
        benchmark::ClobberMemory();
      },
      [&one](std::size_t) {
        one.backward_by_gemm();
        benchmark::ClobberMemory();
      });
  state.counters["GFLOP/s"] = 2.0 * one.flops() * state.counters["M_items/s"] * 1e-3 / samples;
}
BENCHMARK(dot_interaction_gradient)->Apply(sizes);

}  // namespace
}  // namespace headrace::kernels
