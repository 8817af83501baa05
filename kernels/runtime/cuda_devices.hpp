#pragma once

#include "kernels/include/headrace_device.h"

#include <string>

/// Which GPUs this process can compute on, and why not.
namespace headrace::kernels {

/// Compute capability that the kernels are built for, at least: 10 * major + minor.
constexpr int capability_min = 80;

/// Devices that can be asked about: 0 where there is no driver or one that is too old.
int device_count();

/// Why no device can be asked at all: no driver, one that is too old, no GPU. "" where one can.
std::string driver_refused();

/// Why there is nothing to say of device `index`; "" where there is.
std::string no_such_device(int index);

/// Why device `index` is not used, "" where it is.
std::string device_refused(int index);

/// All of a device that there is; struct_size apart.
headrace_device_info device_facts(int index);

/// What headrace_devices() says.
std::string devices_as_json();

}  // namespace headrace::kernels
