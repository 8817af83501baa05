#include "kernels/grouped_ffn/grouped_ffn.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

constexpr std::size_t experts = 8;
constexpr std::size_t dim = 256;
constexpr std::size_t hidden = 1024;

/// Rows of eight experts: all alike, or from 2/9 of the even share to 16/9 of it.
std::vector<std::uint32_t> shared_rows(std::size_t total, bool even) {
  std::vector<std::uint32_t> offsets = {0};
  for (std::size_t e = 1; e <= experts; ++e) {
    const std::size_t part = even ? e * 72 / experts : e * (e + 1);
    offsets.push_back(static_cast<std::uint32_t>(total * part / 72));
  }
  return offsets;
}

struct ffn_case {
  ffn_case(ffn_form form, std::vector<std::uint32_t> all_offsets)
      : sizes{.form = form, .experts = experts, .dim = dim, .hidden = hidden},
        gated(form == ffn_form::swiglu),
        offsets(std::move(all_offsets)),
        rows(offsets.back()),
        x(random_floats(rows * dim)),
        w1(random_floats(experts * dim * hidden, 2)),
        w3(random_floats(gated ? w1.size() : 0, 3)),
        w2(random_floats(w1.size(), 4)),
        first(rows * hidden),
        third(gated ? first.size() : 0),
        y(x.size()),
        dy(random_floats(x.size(), 5)),
        dx(x.size()),
        dw1(w1.size()),
        dw3(w3.size()),
        dw2(w2.size()),
        workspace(grouped_ffn_workspace(sizes, rows)) {
    for (std::vector<float>* weights : {&w1, &w3, &w2}) {
      for (float& w : *weights) w *= 0.05F;
    }
    for (std::size_t e = 0; e < experts; ++e) {
      const std::size_t n = offsets[e + 1] - offsets[e];
      bare_workspace.resize(std::max({bare_workspace.size(),
                                      gemm_workspace(n, hidden, dim),
                                      gemm_workspace(n, dim, hidden),
                                      gemm_workspace(dim, hidden, n),
                                      gemm_workspace(hidden, dim, n)}));
    }
  }

  void forward() {
    grouped_ffn({.sizes = sizes,
                 .offsets = offsets,
                 .x = x,
                 .w1 = w1,
                 .w3 = w3,
                 .w2 = w2,
                 .first = first,
                 .third = third,
                 .y = y,
                 .workspace = workspace});
  }
  void backward() {
    grouped_ffn_backward({.sizes = sizes,
                          .offsets = offsets,
                          .x = x,
                          .w1 = w1,
                          .w3 = w3,
                          .w2 = w2,
                          .first = first,
                          .third = third,
                          .y_gradients = dy,
                          .x_gradients = dx,
                          .w1_gradients = dw1,
                          .w3_gradients = dw3,
                          .w2_gradients = dw2,
                          .workspace = workspace});
  }

  /// One product as the experts have it, all rows of an expert at once.
  void product(const float* a,
               bool at,
               const float* b,
               bool bt,
               float* c,
               std::size_t m,
               std::size_t n,
               std::size_t k) {
    gemm({.a = a,
          .a_stride = at ? m : k,
          .a_transposed = at,
          .b = b,
          .b_stride = bt ? k : n,
          .b_transposed = bt,
          .c = c,
          .c_stride = n,
          .m = m,
          .n = n,
          .k = k,
          .accumulate = at,
          .workspace = bare_workspace});
  }
  /// The products of forward alone.
  void bare_forward() {
    for (std::size_t e = 0; e < experts; ++e) {
      const std::size_t row = offsets[e];
      const std::size_t n = offsets[e + 1] - row;
      const std::size_t at = e * dim * hidden;
      const float* from = x.data() + row * dim;
      product(from, false, w1.data() + at, false, first.data() + row * hidden, n, hidden, dim);
      if (gated)
        product(from, false, w3.data() + at, false, third.data() + row * hidden, n, hidden, dim);
      product(first.data() + row * hidden,
              false,
              w2.data() + at,
              false,
              y.data() + row * dim,
              n,
              dim,
              hidden);
    }
  }
  /// The products of backward alone; where values are not, `first` stands for them.
  void bare_backward() {
    for (std::size_t e = 0; e < experts; ++e) {
      const std::size_t row = offsets[e];
      const std::size_t n = offsets[e + 1] - row;
      const std::size_t at = e * dim * hidden;
      float* h = first.data() + row * hidden;
      const float* from = x.data() + row * dim;
      product(h, true, dy.data() + row * dim, false, dw2.data() + at, hidden, dim, n);
      product(dy.data() + row * dim, false, w2.data() + at, true, h, n, hidden, dim);
      for (int layer = 0; layer < (gated ? 2 : 1); ++layer) {
        product(from, true, h, false, (layer == 0 ? dw1 : dw3).data() + at, dim, hidden, n);
        product(h,
                false,
                (layer == 0 ? w1 : w3).data() + at,
                true,
                dx.data() + row * dim,
                n,
                dim,
                hidden);
      }
    }
  }

  ffn_sizes sizes;
  bool gated;
  std::vector<std::uint32_t> offsets;
  std::size_t rows;
  std::vector<float> x;
  std::vector<float> w1;
  std::vector<float> w3;
  std::vector<float> w2;
  std::vector<float> first;
  std::vector<float> third;
  std::vector<float> y;
  std::vector<float> dy;
  std::vector<float> dx;
  std::vector<float> dw1;
  std::vector<float> dw3;
  std::vector<float> dw2;
  std::vector<float> workspace;
  std::vector<float> bare_workspace;
};

ffn_case chosen_case(const benchmark::State& state) {
  const ffn_form form = state.range(1) == 0 ? ffn_form::relu : ffn_form::swiglu;
  return {form, shared_rows(static_cast<std::size_t>(state.range(0)), true)};
}

/// An item is a row. Peer: its products alone, on the same buffers. Second argument: 1 is swiglu.
void ffn_forward(benchmark::State& state) {
  ffn_case one = chosen_case(state);
  compare(
      state,
      one.rows,
      0,
      [&one](std::size_t) { one.forward(); },
      [&one](std::size_t) { one.bare_forward(); });
}
void ffn_backward(benchmark::State& state) {
  ffn_case one = chosen_case(state);
  one.forward();
  compare(
      state,
      one.rows,
      0,
      [&one](std::size_t) { one.backward(); },
      [&one](std::size_t) { one.bare_backward(); });
}
#define HEADRACE_FFN_SIZES(name) \
  BENCHMARK(name)->ArgsProduct({{8192, 2048, 512, 256}, {0, 1}})->UseManualTime()
HEADRACE_FFN_SIZES(ffn_forward);
HEADRACE_FFN_SIZES(ffn_backward);

/// Uneven loads; peer: the same rows evenly.
void ffn_uneven(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0));
  ffn_case one(ffn_form::relu, shared_rows(rows, false));
  ffn_case other(ffn_form::relu, shared_rows(rows, true));
  const auto both = [](ffn_case& each) {
    each.forward();
    each.backward();
  };
  compare(
      state,
      rows,
      0,
      [&one, &both](std::size_t) { both(one); },
      [&other, &both](std::size_t) { both(other); });
}
BENCHMARK(ffn_uneven)->Arg(8192)->Arg(2048)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
