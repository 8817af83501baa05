#pragma once

#include <compare>
#include <cstdint>
#include <functional>

/// Distinct integer types for the ids that travel through the system, so that swapped arguments
/// don't compile. An id is made explicitly (`row_key{7}`) and read with `.value`.
namespace headrace {

template <class Tag, class Rep>
struct strong_id {
  using rep = Rep;
  Rep value{};

  constexpr strong_id() = default;
  constexpr explicit strong_id(Rep v) : value(v) {}
  friend constexpr auto operator<=>(const strong_id&, const strong_id&) = default;
};

/// The 64-bit id an embedding row is found by (style §3). For string features it is
/// xxh3-64(salt ‖ bytes), see schemas/hash.hpp.
using row_key = strong_id<struct row_key_tag, std::uint64_t>;
/// Index of a table in the job's schema.
using table_id = strong_id<struct table_id_tag, std::uint32_t>;
/// Index of a shard, 0 … shards − 1. The number of shards is fixed when a job is created.
using shard_id = strong_id<struct shard_id_tag, std::uint32_t>;
/// Position of a record in one shard's update log; the first record is 1, 0 means "nothing yet".
using lsn = strong_id<struct lsn_tag, std::uint64_t>;
/// Ownership generation of a shard. A request from another epoch is refused, never guessed at.
using epoch = strong_id<struct epoch_tag, std::uint64_t>;
/// Number of a sealed batch within its source: its position in the sample log, from 1.
using batch_number = strong_id<struct batch_number_tag, std::uint64_t>;

}  // namespace headrace

template <class Tag, class Rep>
struct std::hash<headrace::strong_id<Tag, Rep>> {
  std::size_t operator()(const headrace::strong_id<Tag, Rep>& id) const noexcept {
    return std::hash<Rep>{}(id.value);
  }
};
