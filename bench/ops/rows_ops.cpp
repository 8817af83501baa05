#include "base/random.hpp"
#include "bench/ops/copy_limit.hpp"
#include "bench/ops/op_bench.hpp"
#include "bench/torch/draw.hpp"
#include "kernels/dedup/dedup.hpp"
#include "kernels/gather_pool/gather_pool.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "kernels/top_k/top_k.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>

/// Operators over rows of a table and over keys.
namespace headrace::bench {
namespace {

constexpr std::uint64_t seed = 7;

std::string text(std::size_t n) { return std::to_string(n); }

/// Whole numbers below 2^24 as PyTorch's side reads them, and as ours gives them to be compared.
template <class Values>
std::vector<float> as_floats(const Values& values) {
  std::vector<float> found;
  for (const auto value : values) found.push_back(static_cast<float>(value));
  return found;
}

// ---- gather_pool ----

class gather_pool_bench final : public layer {
 public:
  static constexpr std::size_t dim = 64;
  static constexpr std::size_t rows = 65'536;
  static constexpr std::size_t length = 20;

  explicit gather_pool_bench(std::size_t bags)
      : random_(seed),
        table_(draw(random_, rows * dim, 1.0)),
        out_(bags * dim),
        copy_(bags * (length + 1) * dim) {
    for (std::size_t i = 0; i < bags * length; ++i)
      inverse_.push_back(static_cast<std::uint32_t>(random_.next_below(rows)));
    for (std::size_t b = 0; b <= bags; ++b)
      offsets_.push_back(static_cast<std::uint32_t>(b * length));
    inverse_floats_ = as_floats(inverse_);
  }
  void step() override {
    kernels::gather_pool(
        {.rows = table_, .inverse = inverse_, .offsets = offsets_, .dim = dim, .out = out_});
  }
  void limit() override { copy_.run(); }
  std::vector<layer_tensor> inputs() const override {
    return {{"rows", table_}, {"inverse", inverse_floats_}};
  }
  std::vector<layer_tensor> outputs() const override { return {{"out", out_}}; }

 private:
  random_stream random_;
  std::vector<float> table_;
  std::vector<std::uint32_t> inverse_;
  std::vector<float> inverse_floats_;
  std::vector<std::uint32_t> offsets_;
  std::vector<float> out_;
  copy_limit copy_;
};

op_case make_gather_pool(std::size_t batch) {
  using bench = gather_pool_bench;
  return {std::make_unique<bench>(batch),
          {.words = text(batch) + " bags of " + text(bench::length) + " of " + text(bench::rows) +
                    " rows, dim " + text(bench::dim),
           .limit = copy_limit::words,
           .sizes = {text(batch), text(bench::length), text(bench::rows), text(bench::dim)}}};
}

// ---- quantize_rows ----

class quantize_rows_bench final : public layer {
 public:
  static constexpr std::size_t dim = 64;

  explicit quantize_rows_bench(std::size_t rows)
      : random_(seed),
        values_(draw(random_, rows * dim, 1.0)),
        codes_(rows * dim),
        scales_(rows),
        copy_(rows * (dim + dim / 4) + rows / 2) {}
  void step() override {
    kernels::quantize_rows({.values = values_, .codes = codes_, .scales = scales_, .dim = dim});
  }
  void limit() override { copy_.run(); }
  std::vector<layer_tensor> inputs() const override { return {{"values", values_}}; }
  std::vector<layer_tensor> outputs() const override {
    code_floats_ = as_floats(codes_);
    scale_floats_.clear();
    for (const std::uint16_t scale : scales_)
      scale_floats_.push_back(kernels::half_to_float(scale));
    return {{"codes", code_floats_}, {"scales", scale_floats_}};
  }

 private:
  random_stream random_;
  std::vector<float> values_;
  std::vector<std::int8_t> codes_;
  std::vector<std::uint16_t> scales_;
  copy_limit copy_;
  mutable std::vector<float> code_floats_;
  mutable std::vector<float> scale_floats_;
};

op_case make_quantize_rows(std::size_t batch) {
  using bench = quantize_rows_bench;
  return {std::make_unique<bench>(batch),
          {.words = text(batch) + " rows, dim " + text(bench::dim) + ", int8 and a scale of fp16",
           .limit = copy_limit::words,
           .sizes = {text(batch), text(bench::dim)}}};
}

// ---- sparse_update ----

// Different rows of a table, at random; state lies behind the weights, as in a shard.
class sparse_update_bench final : public layer {
 public:
  static constexpr std::size_t dim = 64;
  static constexpr std::size_t rows = 65'536;

  explicit sparse_update_bench(std::size_t batch)
      : random_(seed),
        first_(draw(random_, rows * dim, 1.0)),
        table_(rows * 2 * dim),
        gradients_(draw(random_, batch * dim, 1.0)),
        copy_(batch * dim * 5) {
    std::vector<std::uint32_t> order(rows);
    std::iota(order.begin(), order.end(), 0U);
    for (std::size_t i = 0; i < batch; ++i)
      std::swap(order[i], order[i + random_.next_below(rows - i)]);
    keys_.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(batch));
    std::ranges::sort(keys_);
    for (std::size_t r = 0; r < rows; ++r)
      std::copy_n(first_.begin() + static_cast<std::ptrdiff_t>(r * dim), dim, &table_[2 * r * dim]);
    for (const std::uint32_t key : keys_) places_.push_back(&table_[2 * key * dim]);
    key_floats_ = as_floats(keys_);
  }
  void step() override {
    kernels::sparse_update({.rows = places_,
                            .dim = dim,
                            .gradients = gradients_,
                            .rule = kernels::update_rule::adagrad,
                            .rate = 0.01F});
  }
  void limit() override { copy_.run(); }
  std::vector<layer_tensor> inputs() const override {
    return {{"table", first_}, {"keys", key_floats_}, {"gradients", gradients_}};
  }
  std::vector<layer_tensor> outputs() const override {
    moved_.clear();
    for (std::size_t i = 0; i < keys_.size(); ++i)
      for (std::size_t c = 0; c < dim; ++c)
        moved_.push_back(places_[i][c] - first_[keys_[i] * dim + c]);
    return {{"moved", moved_}};
  }

 private:
  random_stream random_;
  std::vector<float> first_;  // the table before
  std::vector<float> table_;
  std::vector<float> gradients_;
  copy_limit copy_;
  std::vector<std::uint32_t> keys_;
  std::vector<float> key_floats_;
  std::vector<float*> places_;
  mutable std::vector<float> moved_;
};

op_case make_sparse_update(std::size_t batch) {
  using bench = sparse_update_bench;
  return {std::make_unique<bench>(batch),
          {.words = text(batch) + " of " + text(bench::rows) + " rows, dim " + text(bench::dim) +
                    ", Adagrad",
           .limit = copy_limit::words,
           .sizes = {text(batch), text(bench::rows), text(bench::dim)}}};
}

// ---- dedup ----

class dedup_bench final : public layer {
 public:
  explicit dedup_bench(std::size_t batch) : copy_(batch * 6) {  // keys, inverse, unique, counts
    random_stream random(seed);
    constexpr double ranks = 1e6;
    for (std::size_t i = 0; i < batch; ++i) {  // Zipf 1.05, by inverting the continuous law
      const double x = std::pow((std::pow(ranks + 1, -0.05) - 1) * random.next_unit() + 1, -20.0);
      const auto rank = static_cast<std::uint64_t>(std::min(x - 1, ranks - 1));
      keys_.push_back(mix64(rank) & 0xFFFFFF);
    }
    key_floats_ = as_floats(keys_);
  }
  void step() override {
    kernels::dedup({.keys = keys_,
                    .scratch = scratch_,
                    .unique = unique_,
                    .inverse = inverse_,
                    .counts = counts_});
  }
  void limit() override { copy_.run(); }
  std::vector<layer_tensor> inputs() const override { return {{"keys", key_floats_}}; }
  std::vector<layer_tensor> outputs() const override {
    floats_ = {as_floats(unique_), as_floats(inverse_), as_floats(counts_)};
    return {{"unique", floats_[0]}, {"inverse", floats_[1]}, {"counts", floats_[2]}};
  }

 private:
  std::vector<std::uint64_t> keys_;
  std::vector<float> key_floats_;
  kernels::dedup_scratch scratch_;
  std::vector<std::uint64_t> unique_;
  std::vector<std::uint32_t> inverse_;
  std::vector<std::uint32_t> counts_;
  copy_limit copy_;
  mutable std::vector<std::vector<float>> floats_;
};

op_case make_dedup(std::size_t batch) {
  return {std::make_unique<dedup_bench>(batch),
          {.words = text(batch) + " keys, Zipf 1.05, with inverse and counts",
           .limit = copy_limit::words,
           .sizes = {text(batch)}}};
}

// ---- top_k ----

class top_k_bench final : public layer {
 public:
  explicit top_k_bench(std::size_t batch)
      : random_(seed),
        values_(draw(random_, batch, 1.0)),
        indices_(std::max<std::size_t>(1, batch / 20)),
        selected_(indices_.size()),
        workspace_(kernels::top_k_workspace()),
        copy_(batch + 2 * indices_.size()) {}
  void step() override {
    kernels::top_k(
        {.values = values_, .indices = indices_, .selected = selected_, .workspace = workspace_});
  }
  void limit() override { copy_.run(); }
  std::size_t chosen() const { return indices_.size(); }
  std::vector<layer_tensor> inputs() const override { return {{"values", values_}}; }
  std::vector<layer_tensor> outputs() const override {
    index_floats_ = as_floats(indices_);
    return {{"indices", index_floats_}, {"selected", selected_}};
  }

 private:
  random_stream random_;
  std::vector<float> values_;
  std::vector<std::uint32_t> indices_;
  std::vector<float> selected_;
  std::vector<std::uint32_t> workspace_;
  copy_limit copy_;
  mutable std::vector<float> index_floats_;
};

op_case make_top_k(std::size_t batch) {
  auto made = std::make_unique<top_k_bench>(batch);
  const std::size_t chosen = made->chosen();
  return {std::move(made),
          {.words = "the " + text(chosen) + " largest of " + text(batch) + " values, in order",
           .limit = copy_limit::words,
           .sizes = {text(batch), text(chosen)}}};
}

constexpr std::size_t million = 1 << 20;
constexpr op_bench benches[] = {
    {"gather_pool", "Sums of rows of a table, a bag each", "bag", 4'096, 65'536, make_gather_pool},
    {"quantize_rows", "Rows to int8, with a scale", "row", 16'384, million, make_quantize_rows},
    {"sparse_update", "A step of Adagrad on rows", "row", 4'096, 65'536, make_sparse_update},
    {"dedup", "Unique keys with their places", "key", 20'000, 8 * million, make_dedup},
    {"top_k", "The largest magnitudes", "value", million, 16 * million, make_top_k}};

}  // namespace

std::span<const op_bench> row_op_benches() { return benches; }

}  // namespace headrace::bench
