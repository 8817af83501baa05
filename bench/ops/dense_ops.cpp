#include "base/random.hpp"
#include "bench/ops/copy_limit.hpp"
#include "bench/ops/op_bench.hpp"
#include "bench/torch/draw.hpp"
#include "kernels/dot_interaction/dot_interaction.hpp"
#include "kernels/fm/fm.hpp"
#include "kernels/layer_norm/layer_norm.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

/// Other operators of networks, forward and backward, and the optimizer of their parameters.
namespace headrace::bench {
namespace {

constexpr std::uint64_t seed = 7;

std::string text(std::size_t n) { return std::to_string(n); }

// ---- layer_norm ----

class layer_norm_bench final : public layer {
 public:
  static constexpr std::size_t dim = 256;

  explicit layer_norm_bench(std::size_t rows)
      : random_(seed),
        x_(draw(random_, rows * dim, 1.0)),
        gain_(draw(random_, dim, 1.0)),
        bias_(draw(random_, dim, 1.0)),
        dy_(draw(random_, rows * dim, 1.0)),
        y_(rows * dim),
        mean_(rows),
        rstd_(rows),
        dx_(rows * dim),
        dgain_(dim),
        dbias_(dim),
        copy_(5 * rows * dim) {}  // x, y; x, dy, dx
  void step() override {
    kernels::layer_norm_forward(
        {.x = x_, .gain = gain_, .bias = bias_, .dim = dim, .y = y_, .mean = mean_, .rstd = rstd_});
    std::ranges::fill(dgain_, 0.0F);
    std::ranges::fill(dbias_, 0.0F);
    kernels::layer_norm_backward({.sum = x_,
                                  .gain = gain_,
                                  .dim = dim,
                                  .mean = mean_,
                                  .rstd = rstd_,
                                  .y_gradients = dy_,
                                  .x_gradients = dx_,
                                  .gain_gradients = dgain_,
                                  .bias_gradients = dbias_});
  }
  void limit() override { copy_.run(); }
  std::vector<layer_tensor> inputs() const override {
    return {{"x", x_}, {"gain", gain_}, {"bias", bias_}, {"dy", dy_}};
  }
  std::vector<layer_tensor> outputs() const override {
    return {{"y", y_}, {"dx", dx_}, {"dgain", dgain_}, {"dbias", dbias_}};
  }

 private:
  random_stream random_;
  std::vector<float> x_, gain_, bias_, dy_, y_, mean_, rstd_, dx_, dgain_, dbias_;
  copy_limit copy_;
};

op_case make_layer_norm(std::size_t batch) {
  return {std::make_unique<layer_norm_bench>(batch),
          {.words =
               text(batch) + " rows, dim " + text(layer_norm_bench::dim) + "; forward and backward",
           .limit = copy_limit::words,
           .sizes = {text(batch), text(layer_norm_bench::dim)}}};
}

// ---- fm ----

class fm_bench final : public layer {
 public:
  static constexpr std::size_t rows = 20'000;
  static constexpr std::size_t features = 39;
  static constexpr std::size_t latent = 16;
  static constexpr std::size_t width = 1 + latent;

  explicit fm_bench(std::size_t samples)
      : random_(seed),
        table_(draw(random_, rows * width, 0.1)),
        d_(draw(random_, samples, 1.0)),
        logits_(samples),
        sums_(samples * latent),
        gradients_(rows * width),
        copy_(4 * samples * features * width) {  // rows; rows, gradients read and written
    for (std::size_t i = 0; i < samples * features; ++i)
      inverse_.push_back(static_cast<std::uint32_t>(random_.next_below(rows)));
    inverse_floats_.assign(inverse_.begin(), inverse_.end());
  }
  void step() override {
    kernels::fm_forward({.rows = table_,
                         .inverse = inverse_,
                         .features = features,
                         .latent_dim = latent,
                         .logits = logits_,
                         .sums = sums_});
    std::ranges::fill(gradients_, 0.0F);
    kernels::fm_backward({.rows = table_,
                          .inverse = inverse_,
                          .features = features,
                          .latent_dim = latent,
                          .sums = sums_,
                          .logit_gradients = d_,
                          .row_gradients = gradients_});
  }
  void limit() override { copy_.run(); }
  std::vector<layer_tensor> inputs() const override {
    return {{"rows", table_}, {"inverse", inverse_floats_}, {"d", d_}};
  }
  std::vector<layer_tensor> outputs() const override {
    return {{"logits", logits_}, {"gradients", gradients_}};
  }

 private:
  random_stream random_;
  std::vector<float> table_, d_, logits_, sums_, gradients_, inverse_floats_;
  std::vector<std::uint32_t> inverse_;
  copy_limit copy_;
};

op_case make_fm(std::size_t batch) {
  using bench = fm_bench;
  return {std::make_unique<bench>(batch),
          {.words = text(batch) + " samples of " + text(bench::features) + " features, latent " +
                    text(bench::latent) + "; forward and backward",
           .limit = copy_limit::words,
           .sizes = {text(batch), text(bench::features), text(bench::rows), text(bench::width)}}};
}

// ---- dot_interaction ----

class dot_bench final : public layer {
 public:
  static constexpr std::size_t fields = 27;
  static constexpr std::size_t dim = 16;
  static constexpr std::size_t pairs = kernels::field_pairs(fields);

  explicit dot_bench(std::size_t samples)
      : samples_(samples),
        random_(seed),
        e_(draw(random_, samples * fields * dim, 1.0)),
        d_(draw(random_, samples * pairs, 1.0)),
        out_(samples * pairs),
        de_(e_.size()),
        workspace_(kernels::dot_interaction_workspace(fields, dim)),
        copy_(3 * samples * fields * dim + 2 * samples * pairs) {}
  void step() override {
    const auto vectors = kernels::packed_fields(std::span<const float>(e_), samples_, fields, dim);
    kernels::dot_interaction(
        {.fields = vectors, .out = out_, .out_stride = pairs, .workspace = workspace_});
    kernels::dot_interaction_backward(
        {.fields = vectors,
         .out_gradients = d_,
         .out_stride = pairs,
         .field_gradients = kernels::packed_fields(std::span<float>(de_), samples_, fields, dim)});
  }
  void limit() override { copy_.run(); }
  std::vector<layer_tensor> inputs() const override { return {{"e", e_}, {"d", d_}}; }
  std::vector<layer_tensor> outputs() const override { return {{"out", out_}, {"de", de_}}; }

 private:
  std::size_t samples_;
  random_stream random_;
  std::vector<float> e_, d_, out_, de_, workspace_;
  copy_limit copy_;
};

op_case make_dot(std::size_t batch) {
  return {std::make_unique<dot_bench>(batch),
          {.words = text(batch) + " samples of " + text(dot_bench::fields) + " fields, dim " +
                    text(dot_bench::dim) + "; forward and backward",
           .limit = copy_limit::words,
           .sizes = {text(batch), text(dot_bench::fields), text(dot_bench::dim)}}};
}

// ---- adam ----

// The rows of a network's matrix, one behind the other.
class adam_bench final : public layer {
 public:
  static constexpr std::size_t dim = 256;

  explicit adam_bench(std::size_t rows)
      : random_(seed),
        first_(draw(random_, rows * dim, 1.0)),
        gradients_(draw(random_, rows * dim, 1.0)),
        weights_(first_),
        states_(rows * state_words),
        copy_(7 * rows * dim) {  // w, m and v read and written, g read
    for (std::size_t r = 0; r < rows; ++r) {
      places_.push_back(&weights_[r * dim]);
      state_places_.push_back(&states_[r * state_words]);
    }
  }
  void step() override {
    kernels::sparse_update({.rows = places_,
                            .states = state_places_,
                            .dim = dim,
                            .gradients = gradients_,
                            .rule = kernels::update_rule::adam,
                            .rate = 0.001F,
                            .beta1 = 0.9F,
                            .beta2 = 0.999F});
  }
  void limit() override { copy_.run(); }
  std::vector<layer_tensor> inputs() const override {
    return {{"weights", first_}, {"gradients", gradients_}};
  }
  std::vector<layer_tensor> outputs() const override {
    moved_.clear();
    for (std::size_t i = 0; i < first_.size(); ++i) moved_.push_back(weights_[i] - first_[i]);
    return {{"moved", moved_}};
  }

 private:
  static constexpr std::size_t state_words = kernels::state_words(kernels::update_rule::adam, dim);
  random_stream random_;
  std::vector<float> first_, gradients_, weights_, states_;
  std::vector<float*> places_, state_places_;
  copy_limit copy_;
  mutable std::vector<float> moved_;
};

op_case make_adam(std::size_t batch) {
  return {std::make_unique<adam_bench>(batch),
          {.words = text(batch) + " rows of " + text(adam_bench::dim) + " parameters",
           .limit = copy_limit::words,
           .sizes = {text(batch), text(adam_bench::dim)}}};
}

constexpr op_bench benches[] = {
    {"layer_norm", "Rows normalized", "row", 4'096, 65'536, make_layer_norm},
    {"fm", "A factorization machine", "sample", 4'096, 65'536, make_fm},
    {"dot_interaction", "Inner products of all pairs of fields", "sample", 1'024, 16'384, make_dot},
    {"adam", "A step of Adam on a network's parameters", "row", 4'096, 65'536, make_adam}};

}  // namespace

std::span<const op_bench> dense_op_benches() { return benches; }

}  // namespace headrace::bench
