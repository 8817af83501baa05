#pragma once

#include "base/random.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <sys/mman.h>
#include <time.h>
#include <utility>
#include <vector>

/// What the benches of the ops share: memory on huge pages, skewed keys, and a peer timed beside
/// the op.
namespace headrace::kernels {

/// Zeroed memory of the kind the tables of a shard use: 2 MiB pages where the machine gives them.
template <class Value>
class huge_buffer {
 public:
  explicit huge_buffer(std::size_t n) : n_(n) {
    void* memory =
        mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    madvise(memory, bytes(), MADV_HUGEPAGE);
    memory_ = static_cast<Value*>(memory);
    std::fill_n(memory_, n_, Value{});
  }
  ~huge_buffer() { munmap(memory_, bytes()); }
  huge_buffer(const huge_buffer&) = delete;
  huge_buffer& operator=(const huge_buffer&) = delete;

  Value* data() { return memory_; }
  std::size_t size() const { return n_; }
  std::span<Value> span() { return {memory_, n_}; }

 private:
  std::size_t bytes() const { return std::max<std::size_t>(n_ * sizeof(Value), 1); }

  std::size_t n_;
  Value* memory_ = nullptr;
};

/// n different numbers below `limit`, at random, in ascending order of their hash: a push's rows.
inline std::vector<std::size_t> random_places(std::size_t n,
                                              std::size_t limit,
                                              std::uint64_t seed) {
  random_stream random(seed);
  std::vector<std::size_t> places;
  while (places.size() < n) {
    while (places.size() < n) places.push_back(random.next_below(limit));
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
  }
  for (std::size_t i = places.size(); i > 1; --i)
    std::swap(places[i - 1], places[random.next_below(i)]);
  return places;
}

/// A rank in [0, n) under Zipf's law with exponent s != 1, by inverting the continuous law.
inline std::uint64_t zipf_rank(random_stream& random, double n, double s) {
  const double u = random.next_unit();
  const double x = std::pow((std::pow(n + 1.0, 1.0 - s) - 1.0) * u + 1.0, 1.0 / (1.0 - s));
  return static_cast<std::uint64_t>(std::min(x - 1.0, n - 1.0));
}

/// n keys as online traffic has them: Zipf 1.05 over ten million, spread over 64 bits.
inline std::vector<std::uint64_t> skewed_keys(std::size_t n, std::uint64_t seed = 1) {
  random_stream random(seed);
  std::vector<std::uint64_t> keys(n);
  for (std::uint64_t& key : keys) key = mix64(zipf_rank(random, 1e7, 1.05));
  return keys;
}

inline std::vector<float> random_floats(std::size_t n, std::uint64_t seed = 1) {
  random_stream random(seed);
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(2.0 * random.next_unit() - 1.0);
  return values;
}

/// Processor time of the calling thread in seconds: what an op costs even where others share the
/// cores. Reading it takes some 0.2 µs, so time 10 µs or more.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Times op() and peer() in turn, call by call, so that both see the same machine; reports medians:
/// ns an item and M items/s of the op, ns of the peer, and `share` = peer's time over the op's (1 =
/// as fast as the peer, more = faster). `bytes` an item gives GB/s; 0 leaves it out.
template <class Op, class Peer>
void compare(
    benchmark::State& state, std::size_t items, std::size_t bytes, const Op& op, const Peer& peer) {
  std::vector<double> ours;
  std::vector<double> theirs;
  std::size_t call = 0;
  for (auto _ : state) {
    const double start = thread_seconds();
    peer(call);
    const double between = thread_seconds();
    op(call);
    theirs.push_back(between - start);
    ours.push_back(thread_seconds() - between);
    state.SetIterationTime(ours.back());
    ++call;
  }
  const auto at = [](std::vector<double>& times, double quantile) {
    std::sort(times.begin(), times.end());
    return times[static_cast<std::size_t>(quantile * static_cast<double>(times.size() - 1))];
  };
  const double median = at(ours, 0.5);
  const double n = static_cast<double>(items);
  state.counters["ns/item"] = median / n * 1e9;
  state.counters["M_items/s"] = n / median * 1e-6;
  if (bytes != 0) state.counters["GB/s"] = n * static_cast<double>(bytes) / median * 1e-9;
  state.counters["peer_ns/item"] = at(theirs, 0.5) / n * 1e9;
  state.counters["share"] = at(theirs, 0.5) / median;
  state.counters["p90/p50"] = at(ours, 0.9) / median;
}

}  // namespace headrace::kernels
