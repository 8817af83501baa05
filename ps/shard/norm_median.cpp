#include "ps/shard/norm_median.hpp"

#include <algorithm>

namespace headrace::ps {

double norm_median::of(const schemas::source_id& source, schemas::lane lane) const {
  const auto it = sources_.find(std::pair(source.name, lane));
  return it == sources_.end() ? 0.0 : it->second.median;
}

void norm_median::learn(const schemas::source_id& source, schemas::lane lane, double norm) {
  if (norm <= 0.0) return;
  recent& last = sources_[{source.name, lane}];
  last.norms[last.seen++ % window] = norm;
  const std::size_t size = std::min(last.seen, window);
  if (size < norms_min) return;
  auto sorted = last.norms;
  auto* const middle = sorted.data() + size / 2;
  std::nth_element(sorted.data(), middle, sorted.data() + size);
  last.median = *middle;
}

}  // namespace headrace::ps
