#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace headrace::kernels {

/// Memory that `dedup` reuses from call to call; grows to the largest batch seen. One per thread.
class dedup_scratch {
 public:
  dedup_scratch();
  ~dedup_scratch();
  dedup_scratch(dedup_scratch&&) noexcept;
  dedup_scratch& operator=(dedup_scratch&&) noexcept;

  struct state;
  state& get() { return *state_; }

 private:
  std::unique_ptr<state> state_;
};

/// Unique keys of a batch in the order that pulls and pushes want: strictly ascending.
///
/// keys [n] in, any order and any values, n < 2^32 - 1. Out, resized: unique [u] strictly
/// ascending; inverse [n] with unique[inverse[i]] == keys[i]; counts [u] occurrences. No allocation
/// once the buffers have grown. Exact; keys chosen to collide in the hash cost a sort, not
/// quadratic time.
struct dedup_args {
  std::span<const std::uint64_t> keys;
  dedup_scratch& scratch;
  std::vector<std::uint64_t>& unique;
  std::vector<std::uint32_t>& inverse;
  std::vector<std::uint32_t>& counts;
};
void dedup_ref(const dedup_args& args);
void dedup_cpu(const dedup_args& args);

inline void dedup(const dedup_args& args) { dedup_cpu(args); }

}  // namespace headrace::kernels
