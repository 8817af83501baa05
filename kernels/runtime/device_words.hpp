#pragma once

/// Words made of device.hpp's others, the same for both compilers. Only device.hpp includes this.
namespace headrace::kernels::device {

template <class Element>
HEADRACE_DEVICE std::uint32_t pack(float low, float high);
template <>
HEADRACE_DEVICE std::uint32_t pack<brain>(float low, float high) {
  return pack_brains(low, high);
}
template <>
HEADRACE_DEVICE std::uint32_t pack<half>(float low, float high) {
  return pack_halves(low, high);
}

HEADRACE_DEVICE words_4 load_16(const void* from) { return *static_cast<const words_4*>(from); }
HEADRACE_DEVICE void store_16(void* to, const words_4& value) {
  *static_cast<words_4*>(to) = value;
}

/// The sum over the lanes of a warp, in every lane: a fixed tree, so always the same bits.
template <class T>
HEADRACE_DEVICE T warp_sum(T value) {
  HEADRACE_UNROLL
  for (unsigned step = warp_threads / 2; step > 0; step /= 2) value += shuffle_xor(value, step);
  return value;
}

/// The largest over the lanes of a warp, in every lane.
template <class T>
HEADRACE_DEVICE T warp_max(T value) {
  HEADRACE_UNROLL
  for (unsigned step = warp_threads / 2; step > 0; step /= 2) {
    const T other = shuffle_xor(value, step);
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace headrace::kernels::device
