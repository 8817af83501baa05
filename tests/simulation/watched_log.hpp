#pragma once

#include "storage/memory_log.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace headrace::simulation {

/// A memory log that tells the simulator before it takes an append or forgets records.
class watched_log final : public storage::ordered_log {
 public:
  struct hooks {
    std::function<void()> append;
    std::function<void()> truncate;
  };
  watched_log(std::unique_ptr<storage::memory_log> log, hooks before)
      : log_(std::move(log)), before_(std::move(before)) {}

  void append(std::span<const storage::log_record> group, lsn expected, on_outcome done) override {
    before_.append();
    log_->append(group, expected, std::move(done));
  }
  result<void> read_from(lsn from, const visitor& visit) override {
    return log_->read_from(from, visit);
  }
  result<void> truncate_before(lsn keep_from) override {
    before_.truncate();
    return log_->truncate_before(keep_from);
  }
  extent last() const override { return log_->last(); }
  result<void> close() override { return log_->close(); }

 private:
  std::unique_ptr<storage::memory_log> log_;
  hooks before_;
};

}  // namespace headrace::simulation
