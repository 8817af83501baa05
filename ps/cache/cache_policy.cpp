#include "ps/cache/cache_policy.hpp"

#include "base/check.hpp"
#include "ps/cache/clock_history_policy.hpp"
#include "ps/cache/clock_policy.hpp"
#include "ps/cache/clock_sketch_policy.hpp"
#include "ps/cache/lru_policy.hpp"
#include "ps/cache/window_tinylfu_policy.hpp"

namespace headrace::ps {

std::string_view name(cache_policy_kind kind) {
  switch (kind) {
    case cache_policy_kind::lru:
      return "lru";
    case cache_policy_kind::clock:
      return "clock";
    case cache_policy_kind::clock_sketch:
      return "clock_sketch";
    case cache_policy_kind::clock_history:
      return "clock_history";
    case cache_policy_kind::window_tinylfu:
      return "window_tinylfu";
  }
  return "unknown";
}

std::unique_ptr<cache_policy> make_cache_policy(cache_policy_kind kind,
                                                std::size_t capacity,
                                                std::uint64_t seed) {
  switch (kind) {
    case cache_policy_kind::lru:
      return std::make_unique<lru_policy>(capacity, seed);
    case cache_policy_kind::clock:
      return std::make_unique<clock_policy>(capacity, seed);
    case cache_policy_kind::clock_sketch:
      return std::make_unique<clock_sketch_policy>(capacity, seed);
    case cache_policy_kind::clock_history:
      return std::make_unique<clock_history_policy>(capacity, seed);
    case cache_policy_kind::window_tinylfu:
      return std::make_unique<window_tinylfu_policy>(capacity, seed);
  }
  CHECK(false);
}

}  // namespace headrace::ps
