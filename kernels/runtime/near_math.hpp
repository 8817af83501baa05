#pragma once

#include "kernels/runtime/device.hpp"

#include <cmath>

/// Functions that are right to 2 ulp over all floats on both sides, which device.hpp's exp2 of a
/// product isn't: losses promise bounds with them. sqrt_wide is the correctly rounded one.
namespace headrace::kernels::device {

#if defined(__CUDACC__)
HEADRACE_DEVICE float exp_near(float x) { return ::expf(x); }
HEADRACE_DEVICE float log_near(float x) { return ::logf(x); }
HEADRACE_DEVICE float log1p_near(float x) { return ::log1pf(x); }
HEADRACE_DEVICE double sqrt_wide(double x) { return __dsqrt_rn(x); }
HEADRACE_DEVICE double log_wide(double x) { return ::log(x); }
#else
HEADRACE_DEVICE float exp_near(float x) { return std::exp(x); }
HEADRACE_DEVICE float log_near(float x) { return std::log(x); }
HEADRACE_DEVICE float log1p_near(float x) { return std::log1p(x); }
HEADRACE_DEVICE double sqrt_wide(double x) { return std::sqrt(x); }
HEADRACE_DEVICE double log_wide(double x) { return std::log(x); }
#endif
HEADRACE_DEVICE float size_of(float x) { return x < 0.0F ? -x : x; }  // NaN stays one

}  // namespace headrace::kernels::device
