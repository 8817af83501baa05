#pragma once

#include "worker/ingest/event_list.hpp"
#include "worker/ingest/event_source.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace headrace::worker {

/// Another source's events several times over: pass after pass, each in the source's order or, with
/// `shuffle`, in one of its own, which follows from the seed and the number of the pass
/// (Fisher-Yates). Records are counted through all passes. Reads everything first and keeps it
/// (worker/ingest/event_list.hpp).
class replayed_source final : public event_source {
 public:
  struct settings {
    std::uint32_t passes = 1;  // at least 1
    bool shuffle = false;
    std::uint64_t seed = 1;
  };
  /// Reads `from` to its end. Fails: as `from.next`.
  static result<std::unique_ptr<replayed_source>> read(std::unique_ptr<event_source> from,
                                                       settings how);

  result<bool> next(event& into) override;
  result<void> skip(std::uint64_t through) override;
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override { return records(); }
  const bad_rows& bad() const override { return from_->bad(); }
  std::size_t features() const override { return from_->features(); }

  /// Records of a pass.
  std::uint64_t pass_records() const { return events_.size(); }

 private:
  replayed_source(std::unique_ptr<event_source> from, settings how)
      : from_(std::move(from)), how_(how) {}
  std::uint64_t records() const { return events_.size() * how_.passes; }
  void order_pass(std::uint64_t pass);

  std::unique_ptr<event_source> from_;  // at its end; keeps the count of bad rows
  settings how_;
  event_list events_;
  std::vector<std::size_t> order_;  // of the pass at work
  std::uint64_t ordered_pass_ = UINT64_MAX;
  std::uint64_t position_ = 0;
};

}  // namespace headrace::worker
