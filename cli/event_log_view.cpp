#include "cli/event_log_view.hpp"

#include "base/parse_number.hpp"
#include "cli/moment.hpp"
#include "schemas/hash.hpp"
#include "storage/job_folder.hpp"
#include "worker/events/event_gate.hpp"
#include "worker/events/event_reader.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <deque>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t looked_back_first = 64;  // records

// Logs lie in folders of one name each, and nothing else does.
result<fs::path> folder_of(const storage::job_folder& folder, const std::string& source) {
  const fs::path home = folder.event_log("x").parent_path();
  if (!source.empty()) return folder.event_log(source);
  std::vector<fs::path> found;
  std::error_code failure;
  for (fs::directory_iterator at(home, failure), end; !failure && at != end; at.increment(failure))
    found.push_back(at->path());
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return error{errc::not_found,
                 "'" + folder.root().string() +
                     "' has no event log: its job reads no live events, or they go to the state "
                     "folder of its worker"};
  }
  std::ranges::sort(found);
  std::string names;
  for (const fs::path& one : found) names += (names.empty() ? "" : ", ") + one.filename().string();
  return error{errc::bad_config, "--source: there are logs of " + names};
}

std::uint64_t hash_of(const storage::job_identity& job, const fs::path& folder) {
  const std::string name = job.name + "\n" + folder.filename().string();
  return schemas::hash64(std::as_bytes(std::span(name)));
}

std::uint64_t taken(const event_log_view::record& record) {
  std::uint64_t events = 0;
  for (std::size_t i = 0; i < record.batch->events.size(); ++i) events += record.has(i) ? 1 : 0;
  return events;
}

}  // namespace

bool event_log_view::record::has(std::size_t i) const { return !worker::is_left_out(*left_out, i); }

std::string event_log_view::record::id_of(std::size_t i) const {
  const std::string_view own = batch->events[i].id;
  if (!own.empty()) return std::string(own);
  char made[schemas::event_id_bytes_max];
  std::snprintf(made,
                sizeof made,
                "%016" PRIx64 "-%" PRIu64 "-%" PRIu64 "-%zu",
                log,
                arrived_ms,
                position.value,
                i);
  return made;
}

result<event_log_view> event_log_view::open(const fs::path& state, const std::string& source) {
  const auto job = storage::job_folder::open_read_only(state);
  if (!job) return job.error();
  auto folder = folder_of(**job, source);
  if (!folder) return folder.error();
  auto follower = storage::log_follower::open(*folder, lsn{1});
  if (!follower && follower.error().code == errc::not_found)
    return error{errc::not_found, "no event log of source '" + source + "' in " + state.string()};
  if (!follower) return follower.error();
  const std::uint64_t log = hash_of((*job)->job(), *folder);
  return event_log_view(std::move(*folder), log, std::move(*follower));
}

result<lsn> event_log_view::point(const std::string& text,
                                  const char* flag,
                                  std::uint64_t now_ms) const {
  if (const auto number = parse_number<std::uint64_t>(text)) return lsn{*number};
  const auto ms = parse_moment(text, flag, now_ms);
  if (!ms) return error{ms.error().code, ms.error().detail + ", or the number of a record"};
  return storage::first_record_at(folder_, *ms);
}

// Nobody knows how many records they are in, so it looks back twice as far each time.
result<event_log_view::place> event_log_view::newest(std::uint64_t events) const {
  const lsn end{last_.value + 1};
  if (events == 0 || last_ == lsn{}) return place{end};
  for (std::uint64_t back = looked_back_first;; back *= 2) {
    const lsn from{back >= last_.value ? 1 : end.value - back};
    auto follower = storage::log_follower::open(folder_, from);
    if (!follower) return follower.error();
    event_log_view look(folder_, log_, std::move(*follower));
    std::deque<std::pair<lsn, std::uint64_t>> held;  // events of the newest records
    std::uint64_t sum = 0;
    auto read = look.read([&](const record& one) -> result<bool> {
      if (one.position > last_) return false;
      held.emplace_back(one.position, taken(one));
      sum += held.back().second;
      while (sum - held.front().second >= events) {
        sum -= held.front().second;
        held.pop_front();
      }
      return true;
    });
    if (!read) return read.error();
    const bool all = from == lsn{1} || look.follower_.found().first >= from;
    if (sum >= events) return place{held.front().first, sum - events};
    if (all) return place{held.empty() ? end : held.front().first};
  }
}

result<void> event_log_view::begin_at(lsn from) {
  auto follower = storage::log_follower::open(folder_, from);
  if (!follower) return follower.error();
  follower_ = std::move(*follower);
  expected_ = std::max(from, lsn{1});
  return {};
}

result<void> event_log_view::read(const visitor& visit) {
  result<void> failed;
  auto done = follower_.read([&](const storage::log_record& logged) {
    auto events = worker::to_logged_events(logged);
    if (events && !(*events)->batch.empty()) {
      if (auto decoded = schemas::decode_event_batch((*events)->batch, batch_); !decoded)
        events = error{errc::corrupt,
                       "event log: record " + std::to_string(logged.lsn.value) + ": " +
                           decoded.error().detail};
    }
    if (!events) {
      failed = events.error();
      return false;
    }
    const std::uint64_t missing = expected_ == lsn{} ? 0 : logged.lsn.value - expected_.value;
    if ((*events)->batch.empty()) {
      if (missing == 0) expected_ = lsn{logged.lsn.value + 1};
      return true;
    }
    expected_ = lsn{logged.lsn.value + 1};
    record one;
    one.position = logged.lsn;
    one.arrived_ms = logged.stamp_ms;
    one.passed_over = missing;
    one.batch = &batch_;
    one.left_out = &(*events)->left_out;
    one.log = log_;
    const auto more = visit(one);
    if (!more) failed = more.error();
    return more && *more;
  });
  if (!done) return done;
  return failed;
}

}  // namespace headrace::cli
