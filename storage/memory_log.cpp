#include "storage/memory_log.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace headrace::storage {

memory_log::memory_log(std::shared_ptr<contents> disk) : disk_(std::move(disk)) {}

void memory_log::append(std::span<const log_record> group, lsn expected, on_outcome done) {
  CHECK(!group.empty());
  CHECK(group.front().lsn.value == expected.value + 1);
  for (std::size_t i = 1; i < group.size(); ++i)
    CHECK(group[i].lsn.value == group[i - 1].lsn.value + 1);
  waiting one{{group.begin(), group.end()}, expected, std::move(done)};
  if (holding_ || !held_.empty()) {
    held_.push_back(std::move(one));
  } else {
    settle(std::move(one));
  }
}

void memory_log::settle(waiting one) {
  append_outcome outcome{append_state::committed, errc::ok, {}};
  if (dead_) {
    outcome = {append_state::refused, errc::unavailable, "the log is closed"};
  } else if (one.expected != tail()) {
    const bool rides = one.expected > tail() && refusal_.code != errc::ok;
    outcome =
        rides ? refusal_
              : append_outcome{append_state::refused, errc::in_use, "the log has another writer"};
  } else {
    const planned plan = plan_.empty() ? planned{} : plan_.front();
    if (!plan_.empty()) plan_.pop_front();
    const bool present = plan.what == fate::commit || plan.what == fate::unknown_present;
    if (plan.what == fate::refuse) outcome = {append_state::refused, plan.code, "refused by plan"};
    if (plan.what == fate::unknown_present || plan.what == fate::unknown_absent) {
      outcome = {append_state::unknown, plan.code, "unknown by plan"};
      dead_ = true;
    }
    refusal_ = outcome.state == append_state::refused ? outcome : append_outcome{};
    if (present) store(std::move(one.group));
  }
  one.done(outcome);
}

void memory_log::store(std::vector<log_record> group) {
  if (disk_->records.empty()) disk_->first = group.front().lsn;
  disk_->records.insert(disk_->records.end(),
                        std::make_move_iterator(group.begin()),
                        std::make_move_iterator(group.end()));
}

lsn memory_log::tail() const {
  return disk_->records.empty() ? lsn{disk_->first.value - 1} : disk_->records.back().lsn;
}

result<void> memory_log::read_from(lsn from, const visitor& visit) {
  const auto records = disk_->records;  // the visitor may append
  for (const auto& record : records) {
    if (record.lsn >= from && !visit(record)) break;
  }
  return {};
}

result<void> memory_log::truncate_before(lsn keep_from) {
  auto& records = disk_->records;
  const auto kept = std::ranges::lower_bound(records, keep_from, {}, &log_record::lsn);
  // As with segments, the newest record stays, so that the position is never forgotten.
  const auto end = kept == records.end() && !records.empty() ? std::prev(records.end()) : kept;
  records.erase(records.begin(), end);
  if (!records.empty()) disk_->first = records.front().lsn;
  return {};
}

ordered_log::extent memory_log::last() const {
  if (disk_->records.empty()) return {lsn{0}, tail()};
  return {disk_->records.front().lsn, tail()};
}

result<void> memory_log::close() {
  deliver();
  dead_ = true;
  return {};
}

void memory_log::next(fate what, errc code) { plan_.push_back({what, code}); }

void memory_log::deliver(std::size_t count) {
  for (; count > 0 && !held_.empty(); --count) {
    waiting one = std::move(held_.front());
    held_.pop_front();
    settle(std::move(one));
  }
}

void memory_log::crash(std::size_t count) {
  for (; count > 0 && !held_.empty(); --count) {
    if (held_.front().expected != tail()) break;
    store(std::move(held_.front().group));
    held_.pop_front();
  }
  held_.clear();
  dead_ = true;
}

}  // namespace headrace::storage
