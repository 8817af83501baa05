#pragma once

#include "base/check.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace headrace::kernels {

/// Keys or values of the tokens that a decoder still attends to: the first `pinned` tokens of each
/// sequence for ever, and of the rest the newest `window`, in a ring.
///
/// Both caches are [sequences, kv_heads, pinned + window, head_dim], so that what one head reads is
/// one stretch of memory. The slots in use are always the first ones. Attention without a position
/// bias is a sum over a set, so the ring needs no unrolling: the order of slots doesn't matter.
struct kv_cache_shape {
  std::size_t sequences = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t pinned = 0;
  std::size_t window = 1;  // >= 1; counts the newest token

  constexpr std::size_t slots() const { return pinned + window; }
  constexpr std::size_t size() const { return sequences * kv_heads * slots() * head_dim; }

  /// Slots in use of a sequence that has seen `length` tokens.
  constexpr std::size_t live(std::size_t length) const { return std::min(length, slots()); }

  /// Where the token of this position in its sequence lies, until the ring comes round to it.
  constexpr std::size_t slot(std::size_t position) const {
    return position < pinned ? position : pinned + (position - pinned) % window;
  }

  /// First float of a slot.
  constexpr std::size_t at(std::size_t sequence, std::size_t kv_head, std::size_t slot) const {
    return ((sequence * kv_heads + kv_head) * slots() + slot) * head_dim;
  }
};

/// Puts a token's keys (or values), [kv_heads, head_dim], into the cache; the one it replaces is
/// gone. `position` counts from 0 within the sequence.
template <class Value>
void put_token(const kv_cache_shape& shape,
               std::size_t sequence,
               std::size_t position,
               std::span<const Value> token,
               std::span<Value> cache) {
  CHECK(shape.window > 0);
  CHECK(sequence < shape.sequences);
  CHECK(token.size() == shape.kv_heads * shape.head_dim);
  CHECK(cache.size() == shape.size());
  for (std::size_t head = 0; head < shape.kv_heads; ++head) {
    const auto from = token.subspan(head * shape.head_dim, shape.head_dim);
    const std::size_t to = shape.at(sequence, head, shape.slot(position));
    std::copy(from.begin(), from.end(), cache.begin() + static_cast<std::ptrdiff_t>(to));
  }
}

}  // namespace headrace::kernels
