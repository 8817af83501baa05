#include "tests/simulation/wrong_log.hpp"

namespace headrace::simulation {

using storage::append_outcome;
using storage::append_state;

void wrong_log::append(std::span<const storage::log_record> group, lsn expected, on_outcome done) {
  appended_ = true;
  if (kind_ == variant::acknowledges_what_is_buffered) {
    log_->append(group, expected, [](const append_outcome&) {});
    return done({append_state::committed, errc::ok, {}});
  }
  if (kind_ != variant::takes_unknown_for_refused)
    return log_->append(group, expected, std::move(done));
  log_->append(group, expected, [done = std::move(done)](append_outcome outcome) {
    if (outcome.state == append_state::unknown) outcome.state = append_state::refused;
    done(outcome);
  });
}

result<void> wrong_log::read_from(lsn from, const visitor& visit) {
  const lsn end = last().last;
  return log_->read_from(from, [&](const storage::log_record& record) {
    if (record.lsn > end) return false;
    if (kind_ != variant::decides_again_in_redo) return visit(record);
    storage::log_record undecided = record;
    undecided.decisions = {};
    return visit(undecided);
  });
}

result<void> wrong_log::truncate_before(lsn keep_from) {
  if (kind_ != variant::truncates_past_flushed) return log_->truncate_before(keep_from);
  return log_->truncate_before(lsn{keep_from.value + 1});
}

storage::ordered_log::extent wrong_log::last() const {
  extent all = log_->last();
  const bool loses = kind_ == variant::loses_the_newest_record && !appended_;
  if (loses && all.last > all.first) all.last = lsn{all.last.value - 1};
  return all;
}

}  // namespace headrace::simulation
