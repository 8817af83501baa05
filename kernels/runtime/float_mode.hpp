#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#error "float_mode.hpp knows x86-64 and AArch64: say how this machine flushes subnormals"
#endif

/// The one float mode tables are computed under: round to nearest even, no traps, subnormal results
/// written as zero (FTZ) and subnormal inputs read as zero (DAZ).
///
/// Subnormals cost some CPUs a hundred cycles each, and a mode that differs between two threads
/// would give two threads different tables. The mode belongs to a thread and is inherited by
/// nobody: a thread that applies pushes says `set_float_mode()` once when it starts; code that runs
/// on threads of others (an actor on a shared scheduler) holds a `float_mode` around the work. A
/// compiler may move arithmetic that it sees inline across the change, so let the arithmetic be in
/// a function called from there.
namespace headrace::kernels {

/// The float control word of the calling thread.
inline std::uint64_t float_control() {
#if defined(__x86_64__)
  return _mm_getcsr();
#else
  std::uint64_t control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  return control;
#endif
}

inline void set_float_control(std::uint64_t control) {
#if defined(__x86_64__)
  _mm_setcsr(static_cast<std::uint32_t>(control));
#else
  asm volatile("msr fpcr, %0" ::"r"(control));
#endif
  asm volatile("" ::: "memory");  // loads and stores stay on their side of the change
}

/// The control word of the mode. x86 MXCSR: all exceptions masked 0x1F80, FTZ 0x8000, DAZ 0x0040,
/// nearest 0. AArch64 FPCR: FZ (bit 24) does both. What a thread had set otherwise is not kept.
#if defined(__x86_64__)
constexpr std::uint64_t float_mode_control = 0x1F80U | 0x8000U | 0x0040U;
constexpr std::uint64_t float_status_bits = 0x3FU;  // exceptions seen so far: history, not mode
#else
constexpr std::uint64_t float_mode_control = 1ULL << 24;
constexpr std::uint64_t float_status_bits = 0;
#endif

/// Puts the calling thread into the mode for good.
inline void set_float_mode() { set_float_control(float_mode_control); }

/// Whether the calling thread is in the mode.
inline bool in_float_mode() { return (float_control() & ~float_status_bits) == float_mode_control; }

/// Puts the calling thread into the mode while it lives, and back into what it was then. Costs two
/// writes of the control word (some 10 ns): hold it around a batch, not around a row. Nests; stays
/// in the thread that made it.
class float_mode {
 public:
  float_mode() : before_(float_control()) { set_float_mode(); }
  ~float_mode() { set_float_control(before_); }
  float_mode(const float_mode&) = delete;
  float_mode& operator=(const float_mode&) = delete;

 private:
  std::uint64_t before_;
};

}  // namespace headrace::kernels
