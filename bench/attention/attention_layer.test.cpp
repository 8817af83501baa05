#include "bench/attention/attention_layer.hpp"

#include "bench/torch/gradient_check.hpp"

#include <gtest/gtest.h>

namespace headrace::bench {
namespace {

constexpr attention_shape small = {.batch = 3, .seq = 7, .dim = 12, .heads = 3};

/// [rows, in] times [in, out].
std::vector<double> product(const std::vector<double>& a,
                            const std::vector<double>& b,
                            std::size_t in,
                            std::size_t out) {
  std::vector<double> c(a.size() / in * out, 0.0);
  for (std::size_t r = 0; r < a.size() / in; ++r) {
    for (std::size_t i = 0; i < in; ++i) {
      for (std::size_t j = 0; j < out; ++j) c[r * out + j] += a[r * in + i] * b[i * out + j];
    }
  }
  return c;
}

/// Softmax attention of token t of a sequence that starts at token `first`, one head.
void attend(const std::vector<double>& qkv,
            std::size_t first,
            std::size_t t,
            std::size_t at,
            std::vector<double>& o) {
  constexpr std::size_t head_dim = small.dim / small.heads;
  constexpr std::size_t row = 3 * small.dim;
  std::vector<double> weights;
  double sum = 0;
  for (std::size_t j = first; j < first + small.seq; ++j) {
    double score = 0;
    for (std::size_t c = at; c < at + head_dim; ++c)
      score += qkv[t * row + c] * qkv[j * row + small.dim + c];
    weights.push_back(std::exp(score / std::sqrt(static_cast<double>(head_dim))));
    sum += weights.back();
  }
  for (std::size_t c = at; c < at + head_dim; ++c) {
    double& value = o[t * small.dim + c];
    for (std::size_t j = 0; j < small.seq; ++j)
      value += weights[j] / sum * qkv[(first + j) * row + 2 * small.dim + c];
  }
}

std::vector<double> forward(const tensors& inputs) {
  const auto qkv = product(inputs.at("x"), inputs.at("w_qkv"), small.dim, 3 * small.dim);
  std::vector<double> o(inputs.at("x").size(), 0.0);
  for (std::size_t t = 0; t < small.batch * small.seq; ++t) {
    for (std::size_t at = 0; at < small.dim; at += small.dim / small.heads)
      attend(qkv, t / small.seq * small.seq, t, at, o);
  }
  return product(o, inputs.at("w_o"), small.dim, small.dim);
}

TEST(AttentionLayer, IsSoftmaxAttentionBetweenTwoProjectionsAndItsGradients) {
  for (const unsigned threads : {1U, 2U, 5U}) {
    SCOPED_TRACE(threads);
    attention_layer layer(small, threads);
    layer.step();
    layer.step();  // nothing of a step before is left
    expect_outputs_of(layer, forward);
  }
}

TEST(AttentionLayer, CountsTheFlopOfTheBaselines) {
  const double gemms = 8.0 * 32 * 200 * 64 * 64 + 4.0 * 32 * 4 * 200 * 200 * 16;
  EXPECT_DOUBLE_EQ(attention_flop({}), 3 * gemms);
}

}  // namespace
}  // namespace headrace::bench
