#pragma once

#include "base/random.hpp"

#include <cstddef>
#include <vector>

namespace headrace::bench {

/// n floats, uniform in ±range.
inline std::vector<float> draw(random_stream& random, std::size_t n, double range) {
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(range * (2.0 * random.next_unit() - 1.0));
  return values;
}

}  // namespace headrace::bench
