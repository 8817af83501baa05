#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/softmax_loss/vocab_softmax.hpp"
#include "kernels/softmax_loss/vocab_softmax_launch.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float poison = std::numeric_limits<float>::quiet_NaN();

/// 128 bytes of workspace.
struct alignas(128) poisoned {
  float floats[32];
  explicit poisoned(float value) { std::fill_n(floats, 32, value); }
};
using workspace_memory = std::vector<poisoned>;
std::byte* bytes_of(workspace_memory& memory) {
  return reinterpret_cast<std::byte*>(memory.data());
}

struct vocab_batch {
  vocab_batch(std::size_t n, std::size_t item_count, std::size_t columns, float scale)
      : positions(n), items(item_count), dim(columns), x(n * dim), rows(items * dim) {
    random_stream random(test_seed() + 31 * n + items);
    fill_signed<float>(x, random, scale);
    fill_signed<float>(rows, random);
    for (std::size_t t = 0; t < positions; ++t) {
      weights.push_back(random.next_below(4) == 0 ? 0.0F : next_signed(random) + 1.5F);
      labels.push_back(weights[t] == 0.0F ? 0xFFFFFFFFU
                                          : static_cast<std::uint32_t>(random.next_below(items)));
    }
    before.resize(rows.size());
    fill_signed<float>(before, random, 0.1F);
  }
  device_vocab on_device() const {
    return {x.data(),
            rows.data(),
            labels.data(),
            weights.data(),
            static_cast<std::uint32_t>(positions),
            static_cast<std::uint32_t>(items),
            static_cast<std::uint32_t>(dim)};
  }

  std::size_t positions, items, dim;
  std::vector<float> x, rows, weights, before;
  std::vector<std::uint32_t> labels;
};

template <class Value>
struct vocab_results {
  std::vector<Value> losses, lse, dx, ditems;
  double loss = std::nan("");
};

vocab_results<float> run_kernels(const vocab_batch& one,
                                 const emulated_launch& launch,
                                 std::uint32_t chunk = 0,
                                 std::uint32_t slice_items = 0) {
  const device_vocab of = one.on_device();
  vocab_results<float> to;
  to.losses.assign(one.positions, poison);
  to.lse.assign(one.positions, poison);
  to.dx.assign(one.x.size(), poison);
  to.ditems = one.before;
  const auto forward = [&](std::byte* at) {
    return vocab_forward_parts(at, of.positions, of.items_count);
  };
  workspace_memory space(forward(nullptr).bytes / sizeof(poisoned), poisoned(poison));
  vocab_forward_parts slices = forward(bytes_of(space));
  if (slice_items != 0) {  // fewer slices than the workspace has room for
    slices.slice_items = slice_items;
    slices.slices = tiles_across(of.items_count, slice_items);
  }
  launch_vocab_softmax(of, slices, to.losses.data(), to.lse.data(), &to.loss, launch);
  const auto backward = [&](std::byte* at) {
    return vocab_backward_parts(at, of.positions, of.items_count, of.dim);
  };
  space.assign(backward(nullptr).bytes / sizeof(poisoned), poisoned(poison));
  vocab_backward_parts parts = backward(bytes_of(space));
  if (chunk != 0) parts.chunk = chunk;
  launch_vocab_softmax_backward(of, parts, to.lse.data(), to.dx.data(), to.ditems.data(), launch);
  return to;
}

std::vector<double> wide(const std::vector<float>& from) {
  return std::vector<double>(from.begin(), from.end());
}

vocab_results<double> run_exactly(const vocab_batch& one) {
  const std::vector<double> x = wide(one.x), rows = wide(one.rows), weights = wide(one.weights);
  vocab_results<double> to;
  to.losses.resize(one.positions);
  to.lse.resize(one.positions);
  to.dx.resize(one.x.size());
  to.ditems = wide(one.before);
  to.loss = vocab_softmax_ref(basic_vocab_softmax_args<double>{.x = x,
                                                               .items = rows,
                                                               .dim = one.dim,
                                                               .labels = one.labels,
                                                               .weights = weights,
                                                               .losses = to.losses,
                                                               .lse = to.lse});
  vocab_softmax_backward_ref(
      basic_vocab_softmax_backward_args<double>{.x = x,
                                                .items = rows,
                                                .dim = one.dim,
                                                .labels = one.labels,
                                                .weights = weights,
                                                .lse = to.lse,
                                                .x_gradients = to.dx,
                                                .item_gradients = to.ditems});
  return to;
}

/// The bounds of vocab_softmax.hpp.
void expect_within_bounds(const vocab_batch& one,
                          const vocab_results<float>& got,
                          const vocab_results<double>& exact) {
  const auto n = static_cast<double>(one.items);
  std::vector<double> dx_bound(one.x.size()), item_bound(one.rows.size());
  const double item_steps = (3.0 * static_cast<double>(one.positions) + 8.0) * unit_roundoff;
  for (std::size_t i = 0; i < item_bound.size(); ++i)
    item_bound[i] = item_steps * std::abs(static_cast<double>(one.before[i]));
  double all = 1e-30;
  for (std::size_t t = 0; t < one.positions; ++t) {
    double error = 0.0, most = 0.0;
    std::vector<double> logits(one.items);
    for (std::size_t v = 0; v < one.items; ++v) {
      double size = 0.0;
      for (std::size_t k = 0; k < one.dim; ++k) {
        const double term = static_cast<double>(one.x[t * one.dim + k]) *
                            static_cast<double>(one.rows[v * one.dim + k]);
        logits[v] += term;
        size += std::abs(term);
      }
      error = std::max(error, (static_cast<double>(one.dim) + 2.0) * unit_roundoff * size);
      most = std::max(most, std::abs(logits[v]));
    }
    const auto weight = static_cast<double>(one.weights[t]);
    const double bound = 2.0 * error + (9.0 * most + n + 64.0) * unit_roundoff;
    ASSERT_NEAR(static_cast<double>(got.lse[t]), exact.lse[t], bound) << "position " << t;
    ASSERT_NEAR(static_cast<double>(got.losses[t]), exact.losses[t], weight * bound) << t;
    all += weight * bound;
    const double share = 3.0 * error + (17.0 * most + n + 80.0) * unit_roundoff;
    for (std::size_t v = 0; v < one.items; ++v) {
      const double p = weight * std::exp(logits[v] - exact.lse[t]);
      const double full = std::abs(v == one.labels[t] ? p - weight : p);
      const double x_part = share * p + (3.0 * n + 8.0) * unit_roundoff * full;
      const double item_part = share * p + item_steps * full;
      for (std::size_t k = 0; k < one.dim; ++k) {
        dx_bound[t * one.dim + k] +=
            x_part * std::abs(static_cast<double>(one.rows[v * one.dim + k]));
        item_bound[v * one.dim + k] +=
            item_part * std::abs(static_cast<double>(one.x[t * one.dim + k]));
      }
    }
  }
  ASSERT_NEAR(got.loss, exact.loss, all);
  for (std::size_t i = 0; i < dx_bound.size(); ++i)
    ASSERT_NEAR(static_cast<double>(got.dx[i]), exact.dx[i], dx_bound[i] + 1e-30) << i;
  for (std::size_t i = 0; i < item_bound.size(); ++i)
    ASSERT_NEAR(static_cast<double>(got.ditems[i]), exact.ditems[i], item_bound[i] + 1e-30) << i;
}

TEST(VocabSoftmaxKernel, StaysWithinTheBoundsOfTheCpu) {
  struct sizes {
    std::size_t positions, items, dim;
    float scale;
  };
  for (const sizes& s : {sizes{0, 3, 2, 1.0F},
                         {1, 1, 1, 1.0F},
                         {5, 63, 16, 1.0F},
                         {65, 64, 3, 30.0F},
                         {3, 65, 17, 1.0F},
                         {70, 200, 5, 4.0F}}) {
    SCOPED_TRACE(std::to_string(s.positions) + " x " + std::to_string(s.items) + " x " +
                 std::to_string(s.dim));
    const vocab_batch one(s.positions, s.items, s.dim, s.scale);
    expect_within_bounds(one, run_kernels(one, {test_seed()}), run_exactly(one));
  }
}

TEST(VocabSoftmaxKernel, GivesTheSameBitsInAnyOrderAndTakesItemsInPieces) {
  const vocab_batch one(66, 300, 6, 2.0F);
  const vocab_results<double> exact = run_exactly(one);
  for (const std::uint32_t chunk : {0U, 64U, 128U}) {
    vocab_results<float> first;
    for_each_order([&](const emulated_launch& launch) {
      const vocab_results<float> got = run_kernels(one, launch, chunk);
      if (first.dx.empty()) first = got;
      ASSERT_EQ(got.lse, first.lse);
      ASSERT_EQ(got.losses, first.losses);
      ASSERT_EQ(got.dx, first.dx);
      ASSERT_EQ(got.ditems, first.ditems);
    });
    expect_within_bounds(one, first, exact);
  }
}

TEST(VocabSoftmaxKernel, GoesOverTheTilesOfASliceWithARunningMaximum) {
  const vocab_batch one(5, 300, 6, 6.0F);
  const vocab_results<double> exact = run_exactly(one);
  for (const std::uint32_t slice_items : {128U, 320U})
    expect_within_bounds(one, run_kernels(one, {test_seed()}, 0, slice_items), exact);
}

TEST(VocabSoftmaxKernel, LetsNanThrough) {
  vocab_batch one(2, 130, 4, 1.0F);
  one.weights = {1.0F, 1.0F};
  one.labels = {129, 0};
  one.x[1] = poison;
  const vocab_results<float> got = run_kernels(one, {test_seed()});
  EXPECT_TRUE(std::isnan(got.losses[0]));
  EXPECT_TRUE(std::isnan(got.lse[0]));
  EXPECT_FALSE(std::isnan(got.losses[1]));
  EXPECT_TRUE(std::isnan(got.loss));
}

TEST(VocabSoftmaxKernel, CutsItemsByTheSizesAlone) {
  EXPECT_EQ(vocab_slice_items(1, 1), 64U);
  EXPECT_EQ(vocab_slice_items(4'096, 100'000), 196U * 64);  // 64 tiles of positions: 8 slices
  EXPECT_EQ(vocab_slice_items(1U << 20, 1'000), 1'024U);    // one slice
  EXPECT_EQ(vocab_chunk_items(4'096, 100'000), 4'096U);
  EXPECT_EQ(vocab_chunk_items(4'096, 1'000), 1'000U);
  EXPECT_EQ(vocab_chunk_items(1U << 30, 1'000), 64U);
}

}  // namespace
}  // namespace headrace::kernels
