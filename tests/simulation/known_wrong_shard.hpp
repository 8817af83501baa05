#pragma once

#include "tests/simulation/shard_under_test.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace headrace::simulation {

/// A second, simpler durable shard, all of whose rows lie in DRAM, with one mistake built in (none
/// for `variant::twin`): what the simulator must catch. It keeps its own watermarks and applies by
/// redo, so that no product code has to offer the mistakes.
class known_wrong_shard final : public shard_under_test {
 public:
  static result<std::unique_ptr<shard_under_test>> open(variant kind, parts from);

  void push(const frame& section, answer reply) override;
  void pull(const frame& section, answer reply) override;
  schemas::watermark_reply watermarks(const schemas::watermark_request& request) const override;
  bool outcome(lsn at, const storage::append_outcome& outcome) override;
  bool failed() const override { return failed_; }
  result<lsn> flush() override { return state_->flush(*from_.rows); }
  void flush_later(flushed done) override { done(flush()); }
  void keep_log_from(lsn) override {}  // it never truncates
  result<schemas::digest_reply> digest() const override { return state_->digest(); }
  const ps::shard& state() const override { return *state_; }

 private:
  struct waiting {
    storage::log_record record;
    std::string source;
    batch_number batch;
    answer reply;  // empty once answered
    bool rolled_back = false;
    std::vector<answer> duplicates;  // of `batch` or older
  };

  known_wrong_shard(variant kind, parts from);
  bool has(variant mistake) const { return kind_ == mistake; }
  bool keeps_apart() const {
    return has(variant::watermark_before_record) || has(variant::watermark_after_record);
  }
  batch_number committed(const schemas::source_id& source) const;
  batch_number admitted(const schemas::source_id& source) const;
  void duplicate(const schemas::push_section& section, batch_number watermark, answer reply);
  void append(const schemas::push_section& section, answer reply);
  void answer_pulls();
  void settle(waiting done);
  void roll_back();
  frame ack(errc status, batch_number watermark, lsn at) const;

  variant kind_;
  parts from_;
  std::unique_ptr<ps::shard> state_;
  side_watermarks committed_;
  std::deque<waiting> appended_;
  std::vector<std::function<void()>> pulls_;  // wait until nothing is in flight
  std::uint32_t settled_ = 0;
  lsn tail_;  // of the log, appends in flight included
  bool failed_ = false;
};

}  // namespace headrace::simulation
