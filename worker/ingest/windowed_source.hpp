#pragma once

#include "worker/ingest/event_source.hpp"
#include "worker/ingest/window_features.hpp"

#include <cstdint>
#include <functional>
#include <memory>

namespace headrace::worker {

/// A source whose events have their window features, too (worker/ingest/window_features.hpp), in
/// the order in which the inner source gives events. What is skipped is read, so that windows are
/// as if it had been given.
class windowed_source final : public event_source {
 public:
  /// `source` describes `inner`, which has a place for each window feature in its events.
  windowed_source(std::unique_ptr<event_source> inner, const source_spec& source)
      : inner_(std::move(inner)), windows_(source) {}

  result<bool> next(event& into) override;
  result<void> skip(std::uint64_t through) override;
  std::uint64_t position() const override { return inner_->position(); }
  result<std::uint64_t> count_records() const override { return inner_->count_records(); }
  const bad_rows& bad() const override { return inner_->bad(); }
  std::size_t features() const override { return inner_->features(); }

  const window_features& windows() const { return windows_; }

 private:
  std::unique_ptr<event_source> inner_;
  window_features windows_;
};

}  // namespace headrace::worker
