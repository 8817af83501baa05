#pragma once

#include <string>

/// Which GPUs this process can compute on, and why not.
namespace headrace::kernels {

/// Compute capability that the kernels are built for, at least: 10 * major + minor.
constexpr int capability_min = 80;

/// Why no device can be asked at all: no driver, one that is too old, no GPU. "" where one can.
std::string driver_refused();

/// Why device `index` is not used, "" where it is.
std::string device_refused(int index);

/// What headrace_devices() says.
std::string devices_as_json();

}  // namespace headrace::kernels
