#pragma once

#include <span>

namespace headrace::kernels {

/// Largest |value|, by its bits: NaN where any is NaN, else infinity where any is infinite; 0 of
/// nothing. Exact, the same on every target and in either float mode. One pass.
float abs_max_ref(std::span<const float> values);
float abs_max_cpu(std::span<const float> values);

/// Whether no value is NaN or infinite; true of nothing. Stops within 16 Ki values of the first
/// that is.
bool all_finite_ref(std::span<const float> values);
bool all_finite_cpu(std::span<const float> values);

inline float abs_max(std::span<const float> values) { return abs_max_cpu(values); }
inline bool all_finite(std::span<const float> values) { return all_finite_cpu(values); }

}  // namespace headrace::kernels
