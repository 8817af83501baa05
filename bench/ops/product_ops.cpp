#include "base/random.hpp"
#include "bench/ops/op_bench.hpp"
#include "bench/torch/draw.hpp"
#include "bench/torch/product.hpp"
#include "kernels/cross/cross.hpp"
#include "kernels/linear/linear.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

/// Operators that are products of matrices, forward and backward.
namespace headrace::bench {
namespace {

constexpr std::uint64_t seed = 7;
constexpr const char* products_words = "the bare products";

std::string text(std::size_t n) { return std::to_string(n); }

/// The three products of y = x W and its gradients: X [rows, in], W [in, out].
class products_limit {
 public:
  products_limit(std::size_t rows, std::size_t in, std::size_t out)
      : rows_(rows),
        in_(in),
        out_(out),
        x_(rows * in, 1.0F),
        w_(in * out, 1.0F),
        y_(rows * out, 1.0F),
        workspace_(products_workspace({{rows, out, in}, {in, out, rows}, {rows, in, out}})) {}
  void run() {
    multiply({x_.data()}, {w_.data()}, y_.data(), {rows_, out_, in_}, false, workspace_);
    multiply({x_.data(), true}, {y_.data()}, w_.data(), {in_, out_, rows_}, false, workspace_);
    multiply({y_.data()}, {w_.data(), true}, x_.data(), {rows_, in_, out_}, false, workspace_);
    std::ranges::fill(w_, 1.0F);  // else they grow from step to step
    std::ranges::fill(x_, 1.0F);
  }
  double flop() const { return 6.0 * static_cast<double>(rows_ * in_ * out_); }

 private:
  std::size_t rows_;
  std::size_t in_;
  std::size_t out_;
  std::vector<float> x_;
  std::vector<float> w_;
  std::vector<float> y_;
  std::vector<float> workspace_;
};

// ---- linear ----

class linear_bench final : public layer {
 public:
  static constexpr std::size_t in = 512;
  static constexpr std::size_t out = 256;

  explicit linear_bench(std::size_t rows)
      : rows_(rows),
        random_(seed),
        x_(draw(random_, rows * in, 1.0)),
        w_(draw(random_, in * out, 0.1)),
        b_(draw(random_, out, 0.1)),
        dy_(draw(random_, rows * out, 1.0)),
        y_(rows * out),
        dx_(rows * in),
        dw_(in * out),
        db_(out),
        workspace_(kernels::linear_workspace(rows, in, out)),
        products_(rows, in, out) {}
  void step() override {
    constexpr auto activation = kernels::linear_activation::gelu;
    saved_.resize(y_.size());
    kernels::linear_forward({.x = x_,
                             .weights = w_,
                             .bias = b_,
                             .rows = rows_,
                             .in = in,
                             .out = out,
                             .activation = activation,
                             .y = y_,
                             .saved = saved_,
                             .workspace = workspace_});
    std::ranges::fill(dw_, 0.0F);
    std::ranges::fill(db_, 0.0F);
    kernels::linear_backward({.x = x_,
                              .weights = w_,
                              .y = y_,
                              .saved = saved_,
                              .dy = dy_,
                              .rows = rows_,
                              .in = in,
                              .out = out,
                              .activation = activation,
                              .dx = dx_,
                              .dweights = dw_,
                              .dbias = db_,
                              .workspace = workspace_});
  }
  void limit() override { products_.run(); }
  double flop() const { return products_.flop(); }
  std::vector<layer_tensor> inputs() const override {
    return {{"x", x_}, {"w", w_}, {"b", b_}, {"dy", dy_}};
  }
  std::vector<layer_tensor> outputs() const override {
    return {{"y", y_}, {"dx", dx_}, {"dw", dw_}, {"db", db_}};
  }

 private:
  std::size_t rows_;
  random_stream random_;
  std::vector<float> x_, w_, b_, dy_, y_, saved_, dx_, dw_, db_, workspace_;
  products_limit products_;
};

op_case make_linear(std::size_t batch) {
  auto made = std::make_unique<linear_bench>(batch);
  const double flop = made->flop();
  return {std::move(made),
          {.words = text(batch) + " rows, " + text(linear_bench::in) + " to " +
                    text(linear_bench::out) + ", gelu; forward and backward",
           .flop = flop,
           .limit = products_words,
           .sizes = {text(batch), text(linear_bench::in), text(linear_bench::out)}}};
}

// ---- cross ----

class cross_bench final : public layer {
 public:
  static constexpr std::size_t dim = 416;  // 26 fields of 16

  explicit cross_bench(std::size_t rows)
      : shape_{rows, dim, 0},
        random_(seed),
        x0_(draw(random_, rows * dim, 1.0)),
        x_(draw(random_, rows * dim, 1.0)),
        w_(draw(random_, dim * dim, 0.1)),
        b_(draw(random_, dim, 0.1)),
        dy_(draw(random_, rows * dim, 1.0)),
        y_(rows * dim),
        affine_(rows * dim),
        dx_(rows * dim),
        dx0_(rows * dim),
        dw_(dim * dim),
        db_(dim),
        workspace_(
            std::max(kernels::cross_workspace(shape_), kernels::cross_backward_workspace(shape_))),
        products_(rows, dim, dim) {}
  void step() override {
    const kernels::cross_weights<const float> weights = {.full = w_, .bias = b_};
    kernels::cross({.shape = shape_,
                    .x0 = x0_,
                    .x = x_,
                    .weights = weights,
                    .out = y_,
                    .affine = affine_,
                    .workspace = workspace_});
    for (std::vector<float>* added : {&dx0_, &dw_, &db_}) std::ranges::fill(*added, 0.0F);
    kernels::cross_backward({.shape = shape_,
                             .x0 = x0_,
                             .x = x_,
                             .weights = weights,
                             .affine = affine_,
                             .out_gradients = dy_,
                             .x_gradients = dx_,
                             .x0_gradients = dx0_,
                             .weight_gradients = {.full = dw_, .bias = db_},
                             .workspace = workspace_});
  }
  void limit() override { products_.run(); }
  double flop() const { return products_.flop(); }
  std::vector<layer_tensor> inputs() const override {
    return {{"x0", x0_}, {"x", x_}, {"w", w_}, {"b", b_}, {"dy", dy_}};
  }
  std::vector<layer_tensor> outputs() const override {
    return {{"y", y_}, {"dx", dx_}, {"dx0", dx0_}, {"dw", dw_}, {"db", db_}};
  }

 private:
  kernels::cross_shape shape_;
  random_stream random_;
  std::vector<float> x0_, x_, w_, b_, dy_, y_, affine_, dx_, dx0_, dw_, db_, workspace_;
  products_limit products_;
};

op_case make_cross(std::size_t batch) {
  auto made = std::make_unique<cross_bench>(batch);
  const double flop = made->flop();
  return {std::move(made),
          {.words = text(batch) + " rows, dim " + text(cross_bench::dim) +
                    ", full matrix; forward and backward",
           .flop = flop,
           .limit = products_words,
           .sizes = {text(batch), text(cross_bench::dim)}}};
}

constexpr op_bench benches[] = {
    {"linear", "A dense layer", "row", 1'024, 16'384, make_linear},
    {"cross", "A layer of the cross network", "row", 1'024, 16'384, make_cross}};

}  // namespace

std::span<const op_bench> product_op_benches() { return benches; }

}  // namespace headrace::bench
