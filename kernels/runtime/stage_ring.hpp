#pragma once

#include "kernels/runtime/device.hpp"

#include <cstdint>

namespace headrace::kernels {

/// Which of `stages` buffers is next, and the parity of the phase that its barriers are then in.
///
/// The reader of buffer `stage` waits for `parity` of its full barrier; its writer for `free()` of
/// its empty barrier, which the first time round has passed already: a barrier begins in phase 0,
/// and waiting for the parity of the phase before returns at once.
template <std::uint32_t stages>
struct stage_ring {
  static_assert(stages >= 1);
  std::uint32_t stage = 0;
  std::uint32_t parity = 0;

  HEADRACE_BOTH constexpr std::uint32_t free() const { return parity ^ 1; }
  HEADRACE_BOTH constexpr void advance() {
    if (++stage < stages) return;
    stage = 0;
    parity ^= 1;
  }
  /// The buffer before this one.
  HEADRACE_BOTH constexpr std::uint32_t previous() const {
    return stage == 0 ? stages - 1 : stage - 1;
  }
};

}  // namespace headrace::kernels
