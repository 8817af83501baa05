#pragma once

#include "kernels/attention/attention_cases.hpp"
#include "kernels/attention/attention_view.hpp"
#include "kernels/runtime/device.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

/// What the tests of emulated attention draw from: an attention_case whose numbers all are of a
/// 16-bit format, for the reference in double and, laid out as a device would have it, for the
/// kernels. Bounds are the format's.
namespace headrace::kernels {

template <class Element>
struct element_of_words;
template <>
struct element_of_words<device::brain> {
  static constexpr double rounding = 0x1p-8;
};
template <>
struct element_of_words<device::half> {
  static constexpr double rounding = 0x1p-11;
};

template <class Element>
std::uint16_t element_bits(double value) {
  return static_cast<std::uint16_t>(device::pack<Element>(static_cast<float>(value), 0.0F) &
                                    0xFFFF);
}
template <class Element>
double element_value(std::uint16_t bits) {
  return static_cast<double>(device::to_float(Element{bits}));
}

/// Rows of 16-bit elements that begin at a 16-byte boundary, NaN to begin with.
class device_rows {
 public:
  explicit device_rows(std::size_t n)
      : memory_((n + 7) / 8, device::words_4{{~0U, ~0U, ~0U, ~0U}}), size_(n) {}
  std::uint16_t* data() { return reinterpret_cast<std::uint16_t*>(memory_.data()); }
  const std::uint16_t* data() const {
    return reinterpret_cast<const std::uint16_t*>(memory_.data());
  }
  std::span<const std::uint16_t> span() const { return {data(), size_}; }

 private:
  std::vector<device::words_4> memory_;
  std::size_t size_;
};

template <class Element>
class device_case {
 public:
  static constexpr std::size_t gap = 8;

  explicit device_case(const attention_shape& shape, std::uint64_t seed = test_seed())
      : exact(shape, seed),
        stride(exact.stride - attention_case<double>::gap + gap),
        qkv(exact.tokens * stride),
        d_o(exact.tokens * exact.q_width),
        o(exact.tokens * exact.q_width),
        gradients(exact.tokens * stride),
        lse(exact.tokens * shape.heads, poison<float>),
        dots(exact.tokens * shape.heads, poison<float>),
        slopes(floats(exact.slopes.span())),
        table(floats(exact.table.span())),
        table_gradient(floats(exact.table_before.span())) {
    for (std::size_t at = 0; at < exact.tokens * exact.stride; ++at) {
      const std::size_t column = at % exact.stride;
      if (column < stride - gap)
        round(exact.qkv.span()[at], qkv.data()[at / exact.stride * stride + column]);
    }
    for (std::size_t at = 0; at < exact.tokens * exact.q_width; ++at)
      round(exact.d_o.span()[at], d_o.data()[at]);
  }

  attention_view forward_view() {
    const basic_attention_args<double> args = exact.forward_args();
    return {.q = qkv.data(),
            .k = qkv.data() + exact.q_width,
            .v = qkv.data() + exact.q_width + exact.kv_width,
            .q_stride = stride,
            .k_stride = stride,
            .v_stride = stride,
            .offsets = exact.offsets.data(),
            .sequences = static_cast<std::uint32_t>(exact.offsets.size() - 1),
            .heads = static_cast<std::uint32_t>(args.heads),
            .kv_heads = static_cast<std::uint32_t>(args.kv_heads),
            .scores = {.scale = static_cast<float>(args.scale),
                       .alibi_slopes = slopes.empty() ? nullptr : slopes.data(),
                       .bias_table = table.empty() ? nullptr : table.data(),
                       .max_distance = static_cast<std::int32_t>(args.max_distance)},
            .mask = narrowed(args.mask),
            .active = exact.active.empty() ? nullptr : exact.active.data(),
            .o = o.data(),
            .o_stride = exact.q_width,
            .lse = lse.data()};
  }
  attention_backward_view backward_view() {
    return {.forward = forward_view(),
            .d_o = d_o.data(),
            .d_o_stride = exact.q_width,
            .dots = dots.data(),
            .dq = gradients.data(),
            .dk = gradients.data() + exact.q_width,
            .dv = gradients.data() + exact.q_width + exact.kv_width,
            .dq_stride = stride,
            .dk_stride = stride,
            .dv_stride = stride};
  }

  std::vector<double> outputs() const { return values(o.span()); }
  /// Columns [begin, begin + width) of the gradients of all tokens.
  std::vector<double> gradient(std::size_t begin, std::size_t width) const {
    std::vector<double> columns;
    for (std::size_t at = 0; at < gradients.span().size(); ++at) {
      const std::size_t column = at % stride;
      if (column >= begin && column < begin + width)
        columns.push_back(element_value<Element>(gradients.span()[at]));
    }
    return columns;
  }

  static std::vector<double> values(std::span<const std::uint16_t> bits) {
    std::vector<double> all;
    for (const std::uint16_t each : bits) all.push_back(element_value<Element>(each));
    return all;
  }

  attention_case<double> exact;
  std::size_t stride;
  device_rows qkv;
  device_rows d_o;
  device_rows o;
  device_rows gradients;
  std::vector<float> lse;
  std::vector<float> dots;
  std::vector<float> slopes;
  std::vector<float> table;
  std::vector<float> table_gradient;

 private:
  static std::vector<float> floats(std::span<const double> values) {
    std::vector<float> all;
    for (const double value : values) all.push_back(static_cast<float>(value));
    return all;
  }
  static void round(double& value, std::uint16_t& bits) {
    bits = element_bits<Element>(value);
    value = element_value<Element>(bits);
  }
};

}  // namespace headrace::kernels
