#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

namespace headrace::bench {

/// Writes the floats as they lie in memory. Fails: io_error.
result<void> write_tensor(const std::filesystem::path& file, std::span<const float> values);
/// Reads them back. Fails: io_error; malformed, when there aren't just `n`.
result<std::vector<float>> read_tensor(const std::filesystem::path& file, std::size_t n);

/// ‖a − b‖ / ‖b‖ in the 2-norm, in double; ‖a‖ where b is 0; NaN where either has one. Same sizes.
double relative_difference(std::span<const float> a, std::span<const float> b);

}  // namespace headrace::bench
