#include "kernels/dedup/dedup.hpp"

#include <algorithm>

namespace headrace::kernels {

void dedup_ref(const dedup_args& args) {
  args.unique.assign(args.keys.begin(), args.keys.end());
  std::sort(args.unique.begin(), args.unique.end());
  args.unique.erase(std::unique(args.unique.begin(), args.unique.end()), args.unique.end());
  args.counts.assign(args.unique.size(), 0);
  args.inverse.resize(args.keys.size());
  for (std::size_t i = 0; i < args.keys.size(); ++i) {
    const auto at = std::lower_bound(args.unique.begin(), args.unique.end(), args.keys[i]);
    args.inverse[i] = static_cast<std::uint32_t>(at - args.unique.begin());
    ++args.counts[args.inverse[i]];
  }
}

}  // namespace headrace::kernels
