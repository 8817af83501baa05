#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// Which rows of one table to ask the shards to bring into DRAM before a batch needs them
/// (docs/caching.md). One policy a table and a worker; plain state, owned by the worker's thread.
///
/// For each batch, in order: `announce` when it is sealed and known ahead, `observe` when it is
/// pulled, then `predict` once. A wrong guess costs the shard a read and perhaps a row that was
/// used; it never changes what is learned.
class prefetch_policy {
 public:
  virtual ~prefetch_policy() = default;

  /// The keys of a batch that will be pulled after those announced before it. Policies that guess
  /// ignore it.
  virtual void announce(std::span<const std::uint64_t> /*keys*/) {}
  /// The keys of the batch that is pulled now, in the order they occur in the stream.
  virtual void observe(std::span<const std::uint64_t> keys) = 0;
  /// Sets `wanted` to at most `max` keys to ask for now, the most wanted first. Each is given once
  /// for each time it is wanted.
  virtual void predict(std::size_t max, std::vector<std::uint64_t>& wanted) = 0;
  /// What it does and how well, in one line for people.
  virtual std::string report() const = 0;
};

enum class prefetch_kind {
  next_batch,  // exact: the sealed batches behind the current one
  none,
  lstm,  // guesses, for streams whose next batch is not known; switches itself off
};
std::string_view name(prefetch_kind kind);

/// `rows` about as many as the table holds in DRAM (for `lstm`, which measures itself on as many).
/// Same seed and stream, same guesses, for a given libm.
std::unique_ptr<prefetch_policy> make_prefetch_policy(prefetch_kind kind,
                                                      std::size_t rows,
                                                      std::uint64_t seed);

}  // namespace headrace::worker
