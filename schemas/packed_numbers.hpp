#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// Row keys and their counts in fewer bytes: what key codec `delta_packed` is.
///
/// Both are a list of small numbers: for each a length of 0 … 8 bytes, two lengths a byte, the
/// first in its low half (an odd list ends with 0); then the numbers in so many bytes each, lowest
/// first.
namespace headrace::schemas {

/// Appends keys, strictly ascending: the first as it is, then of each how many keys lie between it
/// and the one before.
void pack_keys(std::span<const std::uint64_t> keys, std::vector<std::byte>& into);
/// Reads keys [rows]. False unless `bytes` are exactly such a list and the keys stay below 2^64;
/// what it reads ascends strictly.
bool unpack_keys(std::span<const std::byte> bytes, std::span<std::uint64_t> keys);

/// Appends counts: the smallest as u32, then how much each is above it. Nothing for no counts.
void pack_counts(std::span<const std::uint32_t> counts, std::vector<std::byte>& into);
/// Reads counts [rows]. False unless `bytes` are exactly such a list and the counts stay below
/// 2^32.
bool unpack_counts(std::span<const std::byte> bytes, std::span<std::uint32_t> counts);

}  // namespace headrace::schemas
