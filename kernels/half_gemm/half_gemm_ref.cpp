#include "base/check.hpp"
#include "kernels/half_gemm/half_gemm.hpp"
#include "kernels/half_gemm/half_word.hpp"

#include <algorithm>

namespace headrace::kernels {

void round_halves_ref(const round_halves_args& args) {
  CHECK(args.words.size() == args.values.size());
  std::ranges::transform(
      args.values, args.words.begin(), [&](float value) { return half_word(args.format, value); });
}

void pack_halves_ref(const pack_halves_args& args) {
  CHECK(args.values.size() == args.k * args.n);
  CHECK(args.packed.size() == packed_words(args.k, args.n));
  std::ranges::fill(args.packed, std::uint16_t{0});
  for (std::size_t p = 0; p < args.k; ++p) {
    for (std::size_t j = 0; j < args.n; ++j) {
      const float value = args.values[args.transposed ? j * args.k + p : p * args.n + j];
      args.packed[packed_place(args.k, p, j)] = half_word(args.format, value);
    }
  }
}

void half_gemm_ref(const half_gemm_args& args) {
  CHECK(args.a.size() == args.m * args.k);
  CHECK(args.b.size() == packed_words(args.k, args.n));
  CHECK(args.c.size() == args.m * args.n);
  for (std::size_t i = 0; i < args.m; ++i) {
    for (std::size_t j = 0; j < args.n; ++j) {
      float& c = args.c[i * args.n + j];
      double sum = args.accumulate ? static_cast<double>(c) : 0.0;
      for (std::size_t p = 0; p < args.k; ++p) {
        const auto a = args.a[args.a_transposed ? p * args.m + i : i * args.k + p];
        const auto b = args.b[packed_place(args.k, p, j)];
        sum += static_cast<double>(half_value(args.format, a)) *
               static_cast<double>(half_value(args.format, b));
      }
      c = static_cast<float>(sum);
    }
  }
}

}  // namespace headrace::kernels
