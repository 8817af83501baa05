#include "bench/moe/moe_layer.hpp"

#include "bench/torch/gradient_check.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace headrace::bench {
namespace {

constexpr moe_shape small = {.tokens = 23, .dim = 6, .hidden = 10, .experts = 5, .per_token = 2};

/// What expert e makes of a token, times its gate, added to y.
void add_expert(
    const tensors& inputs, std::size_t token, std::size_t e, double gate, std::vector<double>& y) {
  const std::size_t weights = e * small.dim * small.hidden;
  for (std::size_t h = 0; h < small.hidden; ++h) {
    double value = 0;
    for (std::size_t c = 0; c < small.dim; ++c) {
      value +=
          inputs.at("x")[token * small.dim + c] * inputs.at("w1")[weights + c * small.hidden + h];
    }
    for (std::size_t c = 0; c < small.dim && value > 0; ++c)
      y[token * small.dim + c] += gate * value * inputs.at("w2")[weights + h * small.dim + c];
  }
}

std::vector<double> forward(const tensors& inputs) {
  std::vector<double> y(small.tokens * small.dim, 0.0);
  for (std::size_t t = 0; t < small.tokens; ++t) {
    std::vector<double> logits(small.experts, 0.0);
    for (std::size_t c = 0; c < small.dim; ++c) {
      for (std::size_t e = 0; e < small.experts; ++e)
        logits[e] +=
            inputs.at("x")[t * small.dim + c] * inputs.at("w_router")[c * small.experts + e];
    }
    std::vector<std::size_t> order(small.experts);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, std::greater(), [&](std::size_t e) { return logits[e]; });
    double sum = 0;
    for (std::size_t s = 0; s < small.per_token; ++s) sum += std::exp(logits[order[s]]);
    for (std::size_t s = 0; s < small.per_token; ++s)
      add_expert(inputs, t, order[s], std::exp(logits[order[s]]) / sum, y);
  }
  return y;
}

TEST(MoeLayer, IsTheGatedSumOfTheChosenExpertsAndItsGradients) {
  for (const unsigned threads : {1U, 2U, 7U}) {
    SCOPED_TRACE(threads);
    moe_layer layer(small, threads);
    layer.step();
    layer.step();  // nothing of a step before is left
    expect_outputs_of(layer, forward);
    EXPECT_EQ(std::accumulate(layer.loads().begin(), layer.loads().end(), 0U), 46U);
  }
}

TEST(MoeLayer, CountsSixProductsOfEachAssignment) {
  EXPECT_DOUBLE_EQ(moe_flop({}), 6 * 2.0 * 4096 * 2 * 256 * 1024);
}

}  // namespace
}  // namespace headrace::bench
