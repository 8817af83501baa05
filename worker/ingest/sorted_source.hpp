#pragma once

#include "worker/ingest/event_list.hpp"
#include "worker/ingest/event_source.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace headrace::worker {

/// Another source's events in order of event time, ties as they came. Reads everything first and
/// keeps it (worker/ingest/event_list.hpp), with 8 bytes an event for the order.
class sorted_source final : public event_source {
 public:
  /// Reads `from` to its end. Fails: as `from.next`.
  static result<std::unique_ptr<sorted_source>> read(std::unique_ptr<event_source> from);

  result<bool> next(event& into) override;
  result<void> skip(std::uint64_t through) override;
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override { return std::uint64_t{order_.size()}; }
  const bad_rows& bad() const override { return from_->bad(); }
  std::size_t features() const override { return from_->features(); }

 private:
  explicit sorted_source(std::unique_ptr<event_source> from) : from_(std::move(from)) {}

  std::unique_ptr<event_source> from_;  // at its end; keeps the count of bad rows
  event_list events_;
  std::vector<std::size_t> order_;
  std::uint64_t position_ = 0;
};

}  // namespace headrace::worker
