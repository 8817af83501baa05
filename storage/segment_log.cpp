#include "storage/segment_log.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <pthread.h>
#include <utility>

namespace headrace::storage {
namespace {

constexpr auto committed = append_state::committed;
constexpr auto refused = append_state::refused;
constexpr std::uint64_t run_bytes_max = std::uint64_t{4} << 20;

std::uint64_t bytes_of(std::span<const log_record> group) {
  std::uint64_t sum = 0;
  for (const auto& record : group)
    sum += record.payload.size() + record.decisions.size() + record_header_bytes;
  return sum;
}

bool contiguous(std::span<const log_record> group) {
  for (std::size_t i = 1; i < group.size(); ++i) {
    if (group[i].lsn.value != group[i - 1].lsn.value + 1) return false;
  }
  return true;
}

}  // namespace

result<std::unique_ptr<segment_log>> segment_log::open(options how) {
  segment_files::options below;
  below.folder = how.folder;
  below.segment_bytes = how.segment_bytes;
  below.read_only = how.read_only;
  below.durable = how.mode == schemas::log_mode::fsync && !how.read_only;
  below.continue_after = how.continue_after;
  below.check = how.check;
  below.sync = how.sync;
  below.cut = how.cut;
  auto files = segment_files::open(std::move(below));
  if (!files) return files.error();
  return std::unique_ptr<segment_log>(new segment_log(std::move(how), std::move(*files)));
}

segment_log::segment_log(options how, segment_files files)
    : options_(std::move(how)), torn_bytes_(files.torn_bytes()), files_(std::move(files)) {
  CHECK(options_.group_appends_max > 0);
  publish();
  if (options_.read_only || options_.mode != schemas::log_mode::fsync) return;
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "log-sync");
    commit_groups();
  });
}

segment_log::~segment_log() { static_cast<void>(close()); }  // who needs to know calls close()

void segment_log::append(std::span<const log_record> group, lsn expected, on_outcome done) {
  CHECK(!group.empty());
  CHECK(contiguous(group));
  CHECK(group.front().lsn.value == expected.value + 1);
  if (options_.read_only)
    return done({refused, errc::in_use, "the log was opened for reading only"});
  if (closed_) return done({refused, errc::unavailable, "the log is closed"});
  if (thread_.joinable()) return enqueue(group, expected, std::move(done));
  append_outcome outcome;
  {
    const std::lock_guard lock(files_mutex_);
    outcome = write(group, expected);
    publish();
  }
  done(outcome);
}

// Below: `files_mutex_` is held.

append_outcome segment_log::write(std::span<const log_record> group, lsn expected) {
  if (failed_)
    return {refused, errc::io_error, "an earlier write has an unknown outcome: open the log anew"};
  if (expected != tail()) {
    if (expected > tail() && refusal_.code != errc::ok)
      return refusal_;  // it rode on what was refused
    return {refused,
            errc::in_use,
            "the log ends at " + std::to_string(tail().value) + ", the append expected " +
                std::to_string(expected.value) + ": it has another writer"};
  }
  const bool in_memory = options_.mode == schemas::log_mode::none;
  auto outcome = in_memory ? buffer(group) : files_.write(group);
  refusal_ = outcome.state == committed ? append_outcome{} : outcome;
  failed_ = failed_ || outcome.state == append_state::unknown;
  return outcome;
}

append_outcome segment_log::buffer(std::span<const log_record> group) {
  if (buffered_bytes_ >= options_.buffer_bytes) {
    if (auto written = write_buffered(); written.state != committed) return written;
  }
  buffered_.insert(buffered_.end(), group.begin(), group.end());
  buffered_bytes_ += bytes_of(group);
  return {committed, errc::ok, {}};
}

append_outcome segment_log::write_buffered() {
  if (buffered_.empty()) return {committed, errc::ok, {}};
  if (failed_)
    return {refused, errc::io_error, "an earlier write has an unknown outcome: open the log anew"};
  auto written = files_.write(buffered_);
  failed_ = written.state == append_state::unknown;
  if (written.state != committed) return written;
  buffered_.clear();
  buffered_bytes_ = 0;
  return written;
}

lsn segment_log::tail() const { return buffered_.empty() ? files_.last() : buffered_.back().lsn; }

void segment_log::publish() {
  extent now = files_.extent();
  if (!buffered_.empty()) {
    now.last = buffered_.back().lsn;
    if (now.first.value == 0) now.first = buffered_.front().lsn;
  }
  const std::lock_guard lock(queue_mutex_);
  extent_ = now;
}

// Mode `fsync`: the owner enqueues, the log's thread commits.

void segment_log::enqueue(std::span<const log_record> group, lsn expected, on_outcome done) {
  queued one{{}, expected, std::move(done), bytes_of(group), false};
  {
    const std::lock_guard lock(queue_mutex_);
    one.over_limit = queue_bytes_ + one.bytes > options_.queue_bytes_max && !queue_.empty();
    if (one.over_limit) {
      one.bytes = 0;  // its outcome waits its turn, its bytes don't
    } else {
      one.group.assign(group.begin(), group.end());
    }
    queue_bytes_ += one.bytes;
    queue_.push_back(std::move(one));
  }
  work_.notify_one();
}

void segment_log::commit_groups() {
  std::unique_lock lock(queue_mutex_);
  while (true) {
    work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const auto count = std::min(queue_.size(), options_.group_appends_max);
    const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(count);
    std::vector<queued> group(std::make_move_iterator(queue_.begin()),
                              std::make_move_iterator(end));
    queue_.erase(queue_.begin(), end);
    for (const auto& one : group) queue_bytes_ -= one.bytes;
    lock.unlock();
    settle(std::move(group));
    lock.lock();
  }
}

void segment_log::settle(std::vector<queued> group) {
  std::vector<append_outcome> outcomes;
  outcomes.reserve(group.size());
  {
    const std::lock_guard lock(files_mutex_);
    for (std::span<queued> rest(group); !rest.empty();
         rest = std::span(group).subspan(outcomes.size())) {
      const std::size_t length = run_length(rest);
      if (length > 1 && write_run(rest.first(length), outcomes)) continue;
      for (queued& one : rest.first(length)) outcomes.push_back(write_queued(one));
    }
    const auto is_committed = [](const append_outcome& outcome) {
      return outcome.state == committed;
    };
    if (std::ranges::any_of(outcomes, is_committed)) files_.sync_or_end();
    publish();
  }
  for (std::size_t i = 0; i < group.size(); ++i) group[i].done(outcomes[i]);
}

append_outcome segment_log::write_queued(const queued& one) {
  if (!one.over_limit) return write(one.group, one.expected);
  refusal_ = {refused, errc::overloaded, "too much waits for the disk"};
  return refusal_;
}

// How many appends from the front on follow each other and are small enough for one write, which
// costs half of one write each. Small beside a segment too: it is not cut in two by a new file.
std::size_t segment_log::run_length(std::span<const queued> rest) const {
  const std::uint64_t bytes_max = std::min(run_bytes_max, options_.segment_bytes / 16);
  std::uint64_t bytes = rest[0].bytes;
  std::size_t length = 1;
  for (; length < rest.size(); ++length) {
    const queued& before = rest[length - 1];
    const queued& next = rest[length];
    if (before.over_limit || next.over_limit || next.expected != before.group.back().lsn) break;
    bytes += next.bytes;
    if (bytes > bytes_max) break;
  }
  return length;
}

// All of `run` in one write, with an outcome for each. False: it was refused as a whole, and each
// should have an answer of its own.
bool segment_log::write_run(std::span<const queued> run, std::vector<append_outcome>& outcomes) {
  std::vector<log_record> records;
  for (const queued& one : run) {
    records.insert(records.end(), one.group.begin(), one.group.end());
  }
  const append_outcome outcome = write(records, run.front().expected);
  if (outcome.state == refused) return false;
  outcomes.insert(outcomes.end(), run.size(), outcome);
  return true;
}

// What is buffered is written first, or given from memory while the disk takes nothing.
result<void> segment_log::read_from(lsn from, const visitor& visit) {
  std::vector<segment_files::stretch> stretches;
  std::vector<log_record> buffered;
  {
    const std::lock_guard lock(files_mutex_);
    const auto written = write_buffered();
    if (written.state != committed && failed_) return error{written.code, written.detail};
    stretches = files_.stretches(from);
    const auto begin = std::ranges::lower_bound(buffered_, from, {}, &log_record::lsn);
    buffered.assign(begin, buffered_.end());
  }
  for (const auto& stretch : stretches) {
    const auto more = segment_files::read(stretch, from, visit);
    if (!more) return more.error();
    if (!*more) return {};
  }
  for (const log_record& record : buffered) {
    if (!visit(record)) break;
  }
  return {};
}

result<void> segment_log::truncate_before(lsn keep_from) {
  if (options_.read_only) return error{errc::in_use, "the log was opened for reading only"};
  const std::lock_guard in_order(removal_mutex_);
  std::vector<segment_files::segment> taken;
  {
    const std::lock_guard lock(files_mutex_);
    taken = files_.take_before(keep_from);
    publish();
  }
  auto removed = files_.remove(taken);
  if (taken.empty()) return removed;
  const std::lock_guard lock(files_mutex_);
  files_.put_back(std::move(taken));
  publish();
  return removed;
}

ordered_log::extent segment_log::last() const {
  const std::lock_guard lock(queue_mutex_);
  return extent_;
}

std::uint64_t segment_log::bytes() const {
  const std::lock_guard lock(files_mutex_);
  return files_.bytes();
}

result<void> segment_log::close() {
  if (closed_) return {};
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(queue_mutex_);
      stopping_ = true;
    }
    work_.notify_one();
    thread_.join();
  }
  closed_ = true;
  const std::lock_guard lock(files_mutex_);
  const auto written = write_buffered();
  files_.close();
  if (written.state != committed) return error{written.code, written.detail};
  return {};
}

}  // namespace headrace::storage
