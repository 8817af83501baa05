#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace headrace::worker {

/// What ends when, in the order of (deadline, sequence): exact, whatever order it was put in.
///
/// Buckets of event time, unsorted but for the first, which is a heap. Most of what is put in lies
/// in the newest bucket and most of what is taken out in the oldest, so both are a few nanoseconds
/// in memory that is near; one heap of all misses the cache at each level, and a wheel of fixed
/// size has no place for a far deadline. Whatever deadlines come, no operation is worse than a
/// heap's and a map's. 24 bytes an item, at worst (each in a bucket of its own) about 110.
class expiry_queue {
 public:
  struct item {
    std::uint64_t deadline = 0;
    std::uint64_t sequence = 0;
    std::uint32_t entry = 0;
  };
  explicit expiry_queue(std::uint64_t bucket_ms) : bucket_ms_(bucket_ms > 0 ? bucket_ms : 1) {}

  void push(const item& one);
  /// The first item, if its deadline lies before `watermark`.
  bool pop_before(std::uint64_t watermark, item& into);
  /// The first item; false when there is none.
  bool pop(item& into);
  std::size_t size() const { return size_; }
  /// All, by sequence.
  std::vector<item> by_sequence() const;

 private:
  using bucket = std::vector<item>;
  void open_next();

  std::uint64_t bucket_ms_;
  bucket front_;                 // a heap: all items of buckets below front_end_
  std::uint64_t front_end_ = 0;  // number of a bucket
  std::map<std::uint64_t, bucket> later_;
  std::uint64_t newest_ = 0;  // number of the bucket that newest_bucket_ is
  bucket* newest_bucket_ = nullptr;
  std::vector<bucket> spare_;  // empty, with memory
  std::size_t size_ = 0;
};

}  // namespace headrace::worker
