#include "kernels/runtime/emulated_grid.hpp"

#include "base/random.hpp"

#include <numeric>
#include <utility>

namespace headrace::kernels {

std::vector<std::uint64_t> block_order(std::uint64_t blocks, std::uint64_t seed) {
  std::vector<std::uint64_t> order(blocks);
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  random_stream draw(seed);
  for (std::uint64_t i = blocks; i > 1; --i) std::swap(order[i - 1], order[draw.next_below(i)]);
  return order;
}

}  // namespace headrace::kernels
