#include "kernels/half_gemm/half_gemm.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/half_gemm/onednn_product.hpp"

#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

/// A product with edges in every direction, from a fixed seed.
struct small_product {
  static constexpr std::size_t m = 37;
  static constexpr std::size_t n = 70;
  static constexpr std::size_t k = 45;

  small_product() : a(m * k), b(packed_words(k, n)), workspace(half_gemm_workspace(m, n, k)) {
    random_stream random(1);
    std::vector<float> values(k * n);
    for (float& value : values) value = static_cast<float>(random.next_unit() - 0.5);
    pack_halves_cpu({.values = values, .k = k, .n = n, .packed = b});
    values.resize(a.size());
    for (float& value : values) value = static_cast<float>(random.next_unit() - 0.5);
    round_halves_cpu({.values = values, .words = a});
  }

  half_gemm_args args(bool turned, std::vector<float>& c) {
    return {.a = a,
            .a_transposed = turned,
            .b = b,
            .c = c,
            .m = m,
            .n = n,
            .k = k,
            .accumulate = turned,
            .workspace = workspace};
  }

  std::vector<std::uint16_t> a;
  std::vector<std::uint16_t> b;
  std::vector<float> workspace;
};

/// Whether oneDNN gives what half_gemm_cpu gives. The terms are up to 1/4, of either sign, so their
/// sums stay below k / 4; one order of k of them differs from another by k 2^-24 of that at most.
bool onednn_agrees() {
  small_product one;
  constexpr double apart_max = one.k * 0x1p-24 * one.k;
  for (const bool turned : {false, true}) {
    std::vector<float> plain(one.m * one.n, 1.0F);
    std::vector<float> fast(one.m * one.n, 1.0F);
    half_gemm_cpu(one.args(turned, plain));
    if (!multiply_by_onednn(one.args(turned, fast))) return false;
    for (std::size_t i = 0; i < plain.size(); ++i) {
      if (!(std::abs(static_cast<double>(plain[i]) - static_cast<double>(fast[i])) <= apart_max))
        return false;
    }
  }
  return true;
}

}  // namespace

half_machine fastest_half_machine() {
  static const half_machine found = [] {
    const half_machine machine = onednn_machine();
    return machine != half_machine::plain && onednn_agrees() ? machine : half_machine::plain;
  }();
  return found;
}

void half_gemm(const half_gemm_args& args) {
  if (args.format == half_format::bf16 && fastest_half_machine() != half_machine::plain &&
      multiply_by_onednn(args))
    return;
  half_gemm_cpu(args);
}

}  // namespace headrace::kernels
