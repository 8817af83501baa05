#include "kernels/gemm/gemm.hpp"
#include "kernels/grouped_ffn/grouped_ffn.hpp"
#include "kernels/moe_permute/moe_permute.hpp"
#include "kernels/moe_router/moe_router.hpp"
#include "kernels/runtime/bench_cases.hpp"

#include <algorithm>

/// A whole layer of a mixture of experts, forward and backward: what a model pays for it.
namespace headrace::kernels {
namespace {

constexpr std::size_t tokens = 4096;
constexpr std::size_t dim = 256;
constexpr std::size_t hidden = 1024;
constexpr std::size_t experts = 8;
constexpr std::size_t per_token = 2;
constexpr std::size_t places_max = tokens * per_token;
constexpr router_losses losses = {.balance = 0.01, .entropy = 0.01, .z = 0.001};

class moe_layer {
 public:
  moe_layer() : sizes_{.form = ffn_form::relu, .experts = experts, .dim = dim, .hidden = hidden} {
    for (std::vector<float>* weights : {&router_, &w1_, &w2_}) {
      for (float& w : *weights) w *= 0.05F;
    }
    // The depth of a product is at most what an expert can have: all tokens.
    for (std::size_t n = 1; n <= tokens; ++n) {
      products_.resize(std::max(
          {products_.size(), gemm_workspace(dim, hidden, n), gemm_workspace(hidden, dim, n)}));
    }
    products_.resize(std::max({products_.size(),
                               gemm_workspace(tokens, hidden, dim),
                               gemm_workspace(tokens, dim, hidden),
                               gemm_workspace(tokens, experts, dim),
                               gemm_workspace(tokens, dim, experts),
                               gemm_workspace(dim, experts, tokens)}));
  }

  void step() {
    forward();
    backward();
  }

  /// All products of a step, over the loads that step() found.
  void products() {
    multiply(x_, false, router_, false, logits_, tokens, experts, dim);
    for (std::size_t e = 0; e < experts; ++e) {
      const std::size_t n = offsets_[e + 1] - offsets_[e];
      const auto x = std::span(rows_).subspan(offsets_[e] * dim, n * dim);
      const auto h = std::span(h_).subspan(offsets_[e] * hidden, n * hidden);
      const auto y = std::span(out_).subspan(offsets_[e] * dim, n * dim);
      const auto w1 = std::span(w1_).subspan(e * dim * hidden, dim * hidden);
      const auto w2 = std::span(w2_).subspan(e * dim * hidden, dim * hidden);
      multiply(x, false, w1, false, h, n, hidden, dim);
      multiply(h, false, w2, false, y, n, dim, hidden);
      multiply(h, true, y, false, std::span(dw2_).subspan(e * dim * hidden), hidden, dim, n);
      multiply(y, false, w2, true, h, n, hidden, dim);
      multiply(x, true, h, false, std::span(dw1_).subspan(e * dim * hidden), dim, hidden, n);
      multiply(h, false, w1, true, y, n, dim, hidden);
    }
    multiply(x_, true, dlogits_, false, drouter_, dim, experts, tokens);
    multiply(dlogits_, false, router_, true, dx_, tokens, dim, experts);
  }

 private:
  /// C = op(A) op(B); with A transposed C += ...: the gradient of a parameter.
  void multiply(std::span<const float> a,
                bool at,
                std::span<const float> b,
                bool bt,
                std::span<float> c,
                std::size_t m,
                std::size_t n,
                std::size_t k,
                bool accumulate = false) {
    gemm({.a = a.data(),
          .a_stride = at ? m : k,
          .a_transposed = at,
          .b = b.data(),
          .b_stride = bt ? k : n,
          .b_transposed = bt,
          .c = c.data(),
          .c_stride = n,
          .m = m,
          .n = n,
          .k = k,
          .accumulate = accumulate || at,
          .workspace = products_});
  }

  void forward() {
    multiply(x_, false, router_, false, logits_, tokens, experts, dim);
    moe_router({.logits = logits_,
                .experts = experts,
                .per_token = per_token,
                .losses = losses,
                .probabilities = p_,
                .lse = lse_,
                .mean_probabilities = mean_,
                .chosen = chosen_,
                .gates = gates_,
                .loads = loads_,
                .routes = routes_});
    moe_plan({.routes = routes_, .per_token = per_token, .offsets = offsets_, .places = places_});
    moe_permute({.x = x_, .places = places_, .per_token = per_token, .dim = dim, .rows = rows_});
    grouped_ffn({.sizes = sizes_,
                 .offsets = offsets_,
                 .x = rows_,
                 .w1 = w1_,
                 .w2 = w2_,
                 .first = h_,
                 .y = out_,
                 .workspace = workspace_});
    moe_combine({.rows = out_,
                 .places = places_,
                 .gates = gates_,
                 .per_token = per_token,
                 .dim = dim,
                 .y = y_});
  }

  void backward() {
    moe_combine_backward({.rows = out_,
                          .places = places_,
                          .gates = gates_,
                          .per_token = per_token,
                          .dim = dim,
                          .y_gradients = dy_,
                          .row_gradients = out_,
                          .gate_gradients = dgates_});
    grouped_ffn_backward({.sizes = sizes_,
                          .offsets = offsets_,
                          .x = rows_,
                          .w1 = w1_,
                          .w2 = w2_,
                          .first = h_,
                          .y_gradients = out_,
                          .x_gradients = out_,
                          .w1_gradients = dw1_,
                          .w2_gradients = dw2_,
                          .workspace = workspace_});
    moe_combine({.rows = out_, .places = places_, .per_token = per_token, .dim = dim, .y = dx_});
    moe_router_backward({.experts = experts,
                         .per_token = per_token,
                         .losses = losses,
                         .probabilities = p_,
                         .lse = lse_,
                         .mean_probabilities = mean_,
                         .chosen = chosen_,
                         .gates = gates_,
                         .loads = loads_,
                         .routes = routes_,
                         .gate_gradients = dgates_,
                         .logit_gradients = dlogits_,
                         .workspace = costs_});
    multiply(x_, true, dlogits_, false, drouter_, dim, experts, tokens);
    multiply(dlogits_, false, router_, true, dx_, tokens, dim, experts, true);
  }

  ffn_sizes sizes_;
  std::vector<float> x_ = random_floats(tokens * dim);
  std::vector<float> dy_ = random_floats(tokens * dim, 2);
  std::vector<float> router_ = random_floats(dim * experts, 3);
  std::vector<float> w1_ = random_floats(experts * dim * hidden, 4);
  std::vector<float> w2_ = random_floats(experts * dim * hidden, 5);
  std::vector<float> drouter_ = std::vector<float>(dim * experts);
  std::vector<float> dw1_ = std::vector<float>(experts * dim * hidden);
  std::vector<float> dw2_ = std::vector<float>(experts * dim * hidden);
  std::vector<float> logits_ = std::vector<float>(tokens * experts);
  std::vector<float> dlogits_ = std::vector<float>(tokens * experts);
  std::vector<float> p_ = std::vector<float>(tokens * experts);
  std::vector<float> lse_ = std::vector<float>(tokens);
  std::vector<float> mean_ = std::vector<float>(experts);
  std::vector<float> costs_ = std::vector<float>(experts);
  std::vector<std::uint32_t> chosen_ = std::vector<std::uint32_t>(places_max);
  std::vector<std::uint32_t> routes_ = std::vector<std::uint32_t>(places_max);
  std::vector<std::uint32_t> places_ = std::vector<std::uint32_t>(places_max);
  std::vector<std::uint32_t> loads_ = std::vector<std::uint32_t>(experts);
  std::vector<std::uint32_t> offsets_ = std::vector<std::uint32_t>(experts + 1);
  std::vector<float> gates_ = std::vector<float>(places_max);
  std::vector<float> dgates_ = std::vector<float>(places_max);
  std::vector<float> rows_ = std::vector<float>(places_max * dim);
  std::vector<float> h_ = std::vector<float>(places_max * hidden);
  std::vector<float> out_ =
      std::vector<float>(places_max * dim);  // then the gradients of both ends
  std::vector<float> y_ = std::vector<float>(tokens * dim);
  std::vector<float> dx_ = std::vector<float>(tokens * dim);
  std::vector<float> workspace_ = std::vector<float>(grouped_ffn_workspace(sizes_, places_max));
  std::vector<float> products_;
};

/// An item is a token. 4,096 tokens, dim 256, hidden 1,024, 8 experts, top 2, relu, no capacity.
/// Peer: the products of the step alone, router's and experts'.
void moe_step(benchmark::State& state) {
  moe_layer layer;
  layer.step();
  compare(
      state,
      tokens,
      0,
      [&layer](std::size_t) { layer.step(); },
      [&layer](std::size_t) { layer.products(); });
}
BENCHMARK(moe_step)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
