#pragma once

#include <cstdint>

namespace headrace::kernels {

/// The route of an assignment that no expert has room for.
constexpr std::uint32_t no_expert = 0xFFFFFFFF;

}  // namespace headrace::kernels
