#pragma once

#include "schemas/sample.hpp"
#include "worker/ingest/event_source.hpp"

#include <cstdint>
#include <optional>

namespace headrace::worker {

/// Cuts a stream of events into batches: full at `samples_max`, or `wait_ns` after the first event
/// was added, whichever comes first. Where a batch ends may depend on time; once sealed it never
/// changes. Single-threaded; time is handed in.
class batch_builder {
 public:
  struct settings {
    schemas::source_id source = {};
    std::uint32_t schema_version = 1;
    std::uint32_t samples_max = 512;
    std::uint64_t wait_ns = 20'000'000;
  };
  /// samples_max ≥ 1.
  explicit batch_builder(settings given);

  /// Adds an event; returns the batch when that fills it. `position` is the source's after this
  /// event, `now_ns` the steady and `now_ms` the wall clock. Every event of a source has the same
  /// number of features, labels and lists.
  std::optional<schemas::sample_batch> add(const event& next,
                                           std::uint64_t position,
                                           std::uint64_t now_ns,
                                           std::uint64_t now_ms);
  /// What is held as a batch, or nothing.
  std::optional<schemas::sample_batch> flush();

  bool empty() const { return held_.samples == 0; }
  /// When what is held has waited long enough; nothing when nothing is held.
  std::optional<std::uint64_t> due_at_ns() const;
  bool due(std::uint64_t now_ns) const;

 private:
  void start(const event& first, std::uint64_t now_ns, std::uint64_t now_ms);

  settings settings_;
  schemas::sample_batch held_;
  std::uint64_t first_added_ns_ = 0;
};

}  // namespace headrace::worker
