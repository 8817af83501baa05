#include "kernels/attention/device_case.hpp"
#include "kernels/hstu/hstu_cases.hpp"
#include "kernels/hstu/hstu_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

/// An hstu_case whose numbers all are of a 16-bit format, and the same laid out for the kernels.
template <class Element>
struct device_hstu {
  static constexpr std::size_t gap = 8;

  explicit device_hstu(const hstu_shape& shape)
      : exact(shape),
        tokens(exact.offsets.back()),
        stride(3 * exact.width + gap),
        qkv(tokens * stride),
        gradients(tokens * stride),
        o(tokens * exact.width),
        d_o(tokens * exact.width) {
    for (std::size_t at = 0; at < tokens * exact.stride; ++at) {
      const std::size_t column = at % exact.stride;
      if (column < 3 * exact.width)
        round(exact.qkv.span()[at], qkv.data()[at / exact.stride * stride + column]);
    }
    for (std::size_t at = 0; at < tokens * exact.width; ++at)
      round(exact.d_o.span()[at], d_o.data()[at]);
    for (const double value : exact.table.span()) table.push_back(static_cast<float>(value));
    for (const double value : exact.table_before.span())
      table_gradient.push_back(static_cast<float>(value));
  }

  hstu_view forward_view() {
    const auto heads = static_cast<std::uint32_t>(exact.shape.heads);
    return {{.q = qkv.data(),
             .k = qkv.data() + exact.width,
             .v = qkv.data() + 2 * exact.width,
             .q_stride = stride,
             .k_stride = stride,
             .v_stride = stride,
             .offsets = exact.offsets.data(),
             .sequences = static_cast<std::uint32_t>(exact.offsets.size() - 1),
             .heads = heads,
             .kv_heads = heads,
             .scores = {.scale = static_cast<float>(exact.shape.scale),
                        .bias_table = table.empty() ? nullptr : table.data(),
                        .max_distance = static_cast<std::int32_t>(
                            exact.shape.table == 0 ? 0 : exact.shape.table - 1)},
             .mask = narrowed(exact.shape.mask),
             .o = o.data(),
             .o_stride = exact.width},
            static_cast<float>(exact.shape.normaliser)};
  }
  hstu_backward_view backward_view() {
    return {{.forward = forward_view().attention,
             .d_o = d_o.data(),
             .d_o_stride = exact.width,
             .dq = gradients.data(),
             .dk = gradients.data() + exact.width,
             .dv = gradients.data() + 2 * exact.width,
             .dq_stride = stride,
             .dk_stride = stride,
             .dv_stride = stride},
            static_cast<float>(exact.shape.normaliser)};
  }

  template <class ForwardTiles, class Tiles>
  void run(const emulated_launch& launch) {
    const auto n = static_cast<std::uint32_t>(tokens);
    launch_hstu_in<Element, ForwardTiles>(forward_view(), n, launch);
    launch_hstu_gradients_in<Element, Tiles, Tiles>(backward_view(), n, launch);
    if (table.empty()) return;
    std::vector<float> tables(hstu_tables(table.size()), poison<float>);
    launch_hstu_table_gradient<Element, Tiles::dim>(
        backward_view(), {tables.data(), table_gradient.data()}, n, launch);
  }

  /// Columns [begin, begin + width) of the gradients, ours and exact.
  void expect_close_gradient(std::size_t begin, double bound) const {
    std::vector<double> given;
    std::vector<double> wanted;
    for (std::size_t at = 0; at < tokens * exact.width; ++at) {
      const std::size_t token = at / exact.width;
      const std::size_t column = begin + at % exact.width;
      given.push_back(element_value<Element>(gradients.data()[token * stride + column]));
      wanted.push_back(exact.gradients.span()[token * exact.stride + column]);
    }
    EXPECT_LE(error_norm(given, wanted), bound * norm(wanted)) << "from column " << begin;
  }

  static void round(double& value, std::uint16_t& bits) {
    bits = element_bits<Element>(value);
    value = element_value<Element>(bits);
  }

  hstu_case<double> exact;
  std::size_t tokens;
  std::size_t stride;
  device_rows qkv;
  device_rows gradients;
  device_rows o;
  device_rows d_o;
  std::vector<float> table;
  std::vector<float> table_gradient;
};

/// Nothing cancels as in softmax: errors are measured by the results themselves.
template <class Element, class ForwardTiles, class Tiles>
void check_shape(hstu_shape shape) {
  shape.head_dim = Tiles::dim;
  shape.value_dim = Tiles::dim;
  SCOPED_TRACE(describe(shape) + ", HEADRACE_SEED=" + std::to_string(test_seed()));
  device_hstu<Element> one(shape);
  one.exact.forward([](const auto& args) { hstu_ref(args); });
  one.exact.backward([](const auto& args) { hstu_backward_ref(args); });
  one.template run<ForwardTiles, Tiles>(emulated_launch{test_seed()});
  const double rounding = element_of_words<Element>::rounding;
  const std::vector<double> wanted = doubles(one.exact.o.span());
  EXPECT_LE(error_norm(device_case<Element>::values(one.o.span()), wanted),
            1.5 * rounding * norm(wanted));
  for (const std::size_t part : {0U, 1U, 2U})
    one.expect_close_gradient(part * one.exact.width, 1.5 * rounding);
  const std::vector<double> table(one.table_gradient.begin(), one.table_gradient.end());
  const std::vector<double> exact_table = doubles(one.exact.table_gradient.span());
  EXPECT_LE(error_norm(table, exact_table), 1e-5 * norm(exact_table));
}

TEST(HstuEmulated, StaysWithinItsBoundOfTheDoubleReference) {
  const std::vector<hstu_shape> shapes = {
      {.lengths = {}},
      {.lengths = {0, 1, 0, 2}},
      {.lengths = {5, 16, 17, 33}, .normaliser = 50},
      {.lengths = {50}, .mask = {.window = 5}},
      {.lengths = {49, 20}, .mask = {.causal = true, .window = 9, .globals = 3}, .table = 12},
      {.lengths = {20}, .mask = {.window = 0}},
      {.lengths = {40}, .mask = {.causal = false}, .table = 100, .scale = 3.0}};
  for (const hstu_shape& shape : shapes) {
    check_shape<device::brain, attention_tiles<32, 1, 1, 32>, gradient_tiles<32, 1, 1, 32>>(shape);
    check_shape<device::half, attention_tiles<16, 1, 1, 32>, gradient_tiles<16, 1, 1, 32>>(shape);
  }
  check_shape<device::brain, attention_tiles<64, 2, 4, 64>, gradient_tiles<64, 2, 4, 32>>(
      {.lengths = {70}, .heads = 1});
}

TEST(HstuEmulated, GivesTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  const hstu_shape shape = {.lengths = {40, 17, 5}, .head_dim = 16, .value_dim = 16, .table = 9};
  device_hstu<device::brain> one(shape);
  one.run<attention_tiles<16, 1, 2, 16>, gradient_tiles<16, 1, 2, 16>>(emulated_launch{1});
  for (const std::uint64_t seed : {2U, 3U, 4U}) {
    device_hstu<device::brain> two(shape);
    two.run<attention_tiles<16, 1, 2, 16>, gradient_tiles<16, 1, 2, 16>>(emulated_launch{seed});
    ASSERT_TRUE(same_bits(two.o.span(), one.o.span())) << "seed " << seed;
    ASSERT_TRUE(same_bits(two.gradients.span(), one.gradients.span())) << "seed " << seed;
    ASSERT_EQ(two.table_gradient, one.table_gradient) << "seed " << seed;
  }
}

}  // namespace
}  // namespace headrace::kernels
