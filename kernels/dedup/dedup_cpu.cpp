#include "base/check.hpp"
#include "kernels/dedup/dedup.hpp"

#include <hwy/contrib/sort/vqsort.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace headrace::kernels {
namespace {

struct slot {
  std::uint64_t key = 0;
  std::uint32_t id = 0;     // order of first occurrence
  std::uint32_t stamp = 0;  // call that wrote it; any other stamp means free
};

/// Slots asked for ahead: 40 beats 12 by a quarter at 20,000 keys and more, and costs nothing below
/// (bench).
constexpr std::size_t prefetch_keys_ahead = 40;

}  // namespace

struct dedup_scratch::state {
  std::vector<slot> slots;  // calls use a prefix: a power of two, 2n or more
  std::uint32_t stamp = 0;
  std::vector<std::uint32_t> rank;                             // [u] by first occurrence
  std::vector<std::uint32_t> counts;                           // [u] by first occurrence
  std::vector<std::pair<std::uint64_t, std::uint32_t>> pairs;  // only when the hash was attacked
  hwy::Sorter sorter;
};

dedup_scratch::dedup_scratch() : state_(std::make_unique<state>()) {}
dedup_scratch::~dedup_scratch() = default;
dedup_scratch::dedup_scratch(dedup_scratch&&) noexcept = default;
dedup_scratch& dedup_scratch::operator=(dedup_scratch&&) noexcept = default;

namespace {

/// Open addressing with linear probing over the prefix of the slots that this call uses.
class key_index {
 public:
  key_index(dedup_scratch::state& state, std::size_t n) {
    const std::size_t capacity = std::bit_ceil(std::max<std::size_t>(2 * n, 16));
    if (state.slots.size() < capacity) state.slots.resize(capacity);
    if (state.stamp == std::numeric_limits<std::uint32_t>::max()) {
      std::fill(state.slots.begin(), state.slots.end(), slot{});
      state.stamp = 0;
    }
    slots_ = state.slots.data();
    stamp_ = ++state.stamp;
    mask_ = capacity - 1;
    shift_ = 64 - std::countr_zero(capacity);
  }

  void prefetch(std::uint64_t key) const { __builtin_prefetch(&slots_[home(key)]); }

  /// The key's slot or the free one it belongs in, with the steps taken added to `steps`.
  slot& find(std::uint64_t key, std::size_t& steps) const {
    std::size_t at = home(key);
    while (!is_free(slots_[at]) && slots_[at].key != key) {
      at = (at + 1) & mask_;
      ++steps;
    }
    return slots_[at];
  }
  bool is_free(const slot& at) const { return at.stamp != stamp_; }
  void fill(slot& at, std::uint64_t key, std::uint32_t id) const { at = {key, id, stamp_}; }

 private:
  /// Fibonacci hashing: the top bits of a product; the fold lets the key's high half reach them
  /// all.
  std::size_t home(std::uint64_t key) const {
    return static_cast<std::size_t>(((key ^ (key >> 32)) * 0x9E3779B97F4A7C15ULL) >> shift_);
  }

  slot* slots_;
  std::uint32_t stamp_;
  std::size_t mask_;
  int shift_;
};

/// Numbers keys by first occurrence into `inverse` and lists them in `unique`, unsorted. False when
/// the keys collide far beyond chance.
///
/// Whether a key is new is as hard to predict as the traffic, so nothing branches on it: the next
/// number and the next place in `unique` are written each time and kept when the slot was free.
bool number_keys(const dedup_args& args,
                 const key_index& index,
                 std::vector<std::uint32_t>& call_counts) {
  const std::size_t n = args.keys.size();
  const std::size_t steps_max = 8 * n + 64;
  args.unique.resize(n);
  args.inverse.resize(n);
  call_counts.resize(n);
  const std::uint64_t* keys = args.keys.data();
  std::uint64_t* unique = args.unique.data();
  std::uint32_t* inverse = args.inverse.data();
  std::uint32_t* counts = call_counts.data();
  std::size_t steps = 0;
  std::uint32_t u = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i + prefetch_keys_ahead < n) index.prefetch(keys[i + prefetch_keys_ahead]);
    slot& at = index.find(keys[i], steps);
    if (steps > steps_max) return false;
    const bool is_new = index.is_free(at);
    const std::uint32_t id = is_new ? u : at.id;
    index.fill(at, keys[i], id);
    unique[u] = keys[i];
    counts[u] = 0;
    ++counts[id];
    inverse[i] = id;
    u += is_new ? 1 : 0;
  }
  args.unique.resize(u);
  return true;
}

void sort_keys(dedup_scratch::state& state, std::vector<std::uint64_t>& keys) {
  constexpr std::size_t small = 32;  // measured: dedup.bench
  if (keys.size() <= small) {
    std::sort(keys.begin(), keys.end());
  } else {
    state.sorter(keys.data(), keys.size(), hwy::SortAscending());
  }
}

/// `unique` is sorted: turns numbers by first occurrence into ranks.
void renumber(const dedup_args& args, const key_index& index, dedup_scratch::state& state) {
  const std::size_t u = args.unique.size();
  state.rank.resize(u);
  args.counts.resize(u);
  std::size_t steps = 0;
  for (std::size_t r = 0; r < u; ++r) {
    if (r + prefetch_keys_ahead < u) index.prefetch(args.unique[r + prefetch_keys_ahead]);
    const std::uint32_t id = index.find(args.unique[r], steps).id;
    state.rank[id] = static_cast<std::uint32_t>(r);
    args.counts[r] = state.counts[id];
  }
  for (std::uint32_t& at : args.inverse) at = state.rank[at];
}

/// n log n whatever the keys are.
void dedup_by_sorting(const dedup_args& args, dedup_scratch::state& state) {
  state.pairs.clear();
  for (std::size_t i = 0; i < args.keys.size(); ++i) {
    state.pairs.emplace_back(args.keys[i], static_cast<std::uint32_t>(i));
  }
  std::sort(state.pairs.begin(), state.pairs.end());
  args.unique.clear();
  args.counts.clear();
  for (const auto& [key, at] : state.pairs) {
    if (args.unique.empty() || args.unique.back() != key) {
      args.unique.push_back(key);
      args.counts.push_back(0);
    }
    args.inverse[at] = static_cast<std::uint32_t>(args.unique.size() - 1);
    ++args.counts.back();
  }
}

}  // namespace

void dedup_cpu(const dedup_args& args) {
  CHECK(args.keys.size() < std::numeric_limits<std::uint32_t>::max());
  dedup_scratch::state& state = args.scratch.get();
  const key_index index(state, args.keys.size());
  if (!number_keys(args, index, state.counts)) return dedup_by_sorting(args, state);
  sort_keys(state, args.unique);
  renumber(args, index, state);
}

}  // namespace headrace::kernels
