#pragma once

#include "storage/ordered_log.hpp"
#include "tests/simulation/variant.hpp"

#include <memory>
#include <utility>

namespace headrace::simulation {

/// A log with one mistake, over one without.
class wrong_log final : public storage::ordered_log {
 public:
  wrong_log(variant kind, std::unique_ptr<storage::ordered_log> log)
      : kind_(kind), log_(std::move(log)) {}

  void append(std::span<const storage::log_record> group, lsn expected, on_outcome done) override;
  result<void> read_from(lsn from, const visitor& visit) override;
  result<void> truncate_before(lsn keep_from) override;
  extent last() const override;
  result<void> close() override { return log_->close(); }

 private:
  variant kind_;
  std::unique_ptr<storage::ordered_log> log_;
  bool appended_ = false;
};

}  // namespace headrace::simulation
