#pragma once

#include "schemas/hash.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// The newest ids, up to a number, to know one again. Keeps xxh3-128 hashes under a fixed seed, so
/// that what is known is the same after a restart: two different ids of 10⁹ are taken for one with
/// a chance of 10⁻²¹.
///
/// A ring of hashes in the order they came (16 bytes an id) and a table of their places with open
/// addressing, at most half full (16 to 32 bytes an id): 32 bytes an id where `ids_max` is a power
/// of two, at most 48 else, all of it taken at the start. One thread.
///
/// Additions stay open until `settle`: `take_back` undoes the newest of them exactly, and what fell
/// out for them at the old end is known again. 16 bytes more for each open addition that made
/// something fall out.
class duplicate_window {
 public:
  static constexpr std::uint64_t ids_most = std::uint64_t{1} << 31;

  /// `ids_max`: 1 … ids_most. `secret` spreads ids over the table, so that nobody who doesn't know
  /// it can make them meet there; it changes nothing of what is known.
  explicit duplicate_window(std::uint64_t ids_max, std::uint64_t secret = 0);

  /// False, and nothing changes, when it is known.
  bool add(std::string_view id);
  bool knows(std::string_view id) const;
  using hash = schemas::hash128;
  static hash hash_of(std::string_view id);
  /// After a restart, before anything is added (CHECKed): an id older than all that is there.
  /// Nothing changes when it is known. False: there is no room for it, nor for older ones.
  bool add_older(const hash& id);
  /// Takes the `count` newest back, which are open (CHECKed).
  void take_back(std::uint64_t count);
  /// The `count` oldest open additions stay (CHECKed).
  void settle(std::uint64_t count);

  std::uint64_t size() const { return size_; }
  std::uint64_t open() const { return open_; }
  /// Bytes of the ring, the table and what may come back.
  std::size_t bytes() const;

 private:
  /// Upper half: the id's spot, which places it in the table; lower half: its place in the ring
  /// + 1. 0: free.
  using slot = std::uint64_t;

  std::uint32_t spot_of(const hash& of) const;
  std::size_t home_of(std::uint32_t spot) const { return spot >> shift_; }
  /// Of the slot that has it, or else of the free slot where it belongs.
  std::size_t find(const hash& of) const;
  void insert(std::uint64_t place);
  void erase(std::uint64_t place);

  std::vector<hash> ring_;   // [ids_max]
  std::vector<slot> table_;  // [power of two]
  std::uint64_t multiplier_;
  std::uint32_t shift_;
  std::uint64_t oldest_ = 0;  // place in the ring
  std::uint64_t size_ = 0;
  std::uint64_t open_ = 0;
  std::deque<hash> fallen_;  // for the newest open additions, oldest first
};

}  // namespace headrace::worker
