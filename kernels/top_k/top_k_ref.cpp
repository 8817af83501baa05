#include "base/check.hpp"
#include "kernels/top_k/top_k.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

namespace headrace::kernels {

void top_k_ref(const top_k_args& args) {
  CHECK(args.selected.size() == args.indices.size());
  CHECK(args.indices.size() <= args.values.size());
  const auto magnitude = [&args](std::uint32_t i) {
    return std::bit_cast<std::uint32_t>(args.values[i]) & 0x7FFFFFFFU;
  };
  std::vector<std::uint32_t> order(args.values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(
      order.begin(), order.end(), [&magnitude](std::uint32_t left, std::uint32_t right) {
        return magnitude(left) > magnitude(right);
      });
  std::copy_n(order.begin(), args.indices.size(), args.indices.begin());
  std::sort(args.indices.begin(), args.indices.end());
  for (std::size_t i = 0; i < args.indices.size(); ++i) {
    args.selected[i] = args.values[args.indices[i]];
  }
}

}  // namespace headrace::kernels
