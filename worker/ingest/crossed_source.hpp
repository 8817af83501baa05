#pragma once

#include "worker/ingest/event_source.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace headrace::worker {

/// Writes the keys of crosses behind the other keys of an event, or anew after one of those was
/// exchanged: keys [features + crosses], of which the first [features] are given.
void write_crosses(std::span<const cross_spec> crosses, std::span<std::uint64_t> keys);

/// A source whose events have crosses of their features, too: keys that follow from theirs
/// (schemas::cross_key), with value 1, behind them. Everything else is the inner source's.
class crossed_source final : public event_source {
 public:
  /// Crosses name features of `inner`.
  crossed_source(std::unique_ptr<event_source> inner, std::vector<cross_spec> crosses);

  result<bool> next(event& into) override;
  result<void> skip(std::uint64_t through) override { return inner_->skip(through); }
  std::uint64_t position() const override { return inner_->position(); }
  result<std::uint64_t> count_records() const override { return inner_->count_records(); }
  const bad_rows& bad() const override { return inner_->bad(); }
  std::size_t features() const override { return inner_->features() + crosses_.size(); }
  bool live() const override { return inner_->live(); }
  void on_more(const std::function<void()>& wake) override { inner_->on_more(wake); }
  result<void> sealed(std::uint64_t through) override { return inner_->sealed(through); }

 private:
  std::unique_ptr<event_source> inner_;
  std::vector<cross_spec> crosses_;
};

}  // namespace headrace::worker
