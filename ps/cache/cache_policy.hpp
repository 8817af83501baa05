#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace headrace::ps {

/// Which keys a tier of a fixed number of entries keeps, and nothing else: no values, so that
/// policies are compared on one stream of keys (docs/caching.md).
///
/// Deterministic in the constructor's arguments and the order of accesses. O(1) an access
/// (amortised where a hand goes round). One thread owns it.
class cache_policy {
 public:
  virtual ~cache_policy() = default;
  /// A use of `key`: true when it was kept (a hit). A key that was not kept is kept now, in place
  /// of another when full; how long, the policy says.
  virtual bool access(std::uint64_t key) = 0;
  virtual bool contains(std::uint64_t key) const = 0;
  virtual std::size_t size() const = 0;
  /// Memory of what the policy knows, keys included.
  virtual std::size_t bytes() const = 0;
};

enum class cache_policy_kind {
  lru,
  clock,          // 2-bit counters and a hand
  clock_sketch,   // the same, and a frequency sketch decides whether a newcomer stays
  clock_history,  // the same, and the rows' own counts decide
  window_tinylfu,
};
std::string_view name(cache_policy_kind kind);
inline constexpr cache_policy_kind cache_policy_kinds[] = {cache_policy_kind::lru,
                                                           cache_policy_kind::clock,
                                                           cache_policy_kind::clock_sketch,
                                                           cache_policy_kind::clock_history,
                                                           cache_policy_kind::window_tinylfu};

/// 1 ≤ capacity < 2^31 entries. The seed hides where keys lie; hit ratios hardly depend on it.
std::unique_ptr<cache_policy> make_cache_policy(cache_policy_kind kind,
                                                std::size_t capacity,
                                                std::uint64_t seed);

}  // namespace headrace::ps
