#pragma once

#include <cstdint>

namespace headrace::kernels {

/// Whether all pointers are multiples of 16 bytes, as null is: 16 bytes can move as one.
template <class... Values>
bool aligned_to_16(const Values*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace headrace::kernels
