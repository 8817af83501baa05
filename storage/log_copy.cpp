#include "storage/log_copy.hpp"

#include "storage/segment_log.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace headrace::storage {
namespace {

constexpr std::uint64_t group_bytes_max = std::uint64_t{4} << 20;

/// Gathers records and appends them group by group.
class log_writer {
 public:
  log_writer(segment_log& to, lsn after) : to_(to), written_(after), next_{after.value + 1} {}

  lsn next() const { return next_; }
  result<void> add(const log_record& record) {
    group_.push_back(record);
    bytes_ += record.payload.size() + record.decisions.size();
    next_ = lsn{record.lsn.value + 1};
    return bytes_ < group_bytes_max ? result<void>() : write();
  }
  result<void> write() {
    if (group_.empty()) return {};
    result<void> done;
    to_.append(group_, written_, [&](const append_outcome& outcome) {
      if (outcome.state != append_state::committed) done = error{outcome.code, outcome.detail};
    });
    written_ = group_.back().lsn;
    group_.clear();
    bytes_ = 0;
    return done;
  }

 private:
  segment_log& to_;
  std::vector<log_record> group_;
  std::uint64_t bytes_ = 0;
  lsn written_;
  lsn next_;
};

error missing(lsn record, const std::filesystem::path& folder) {
  return {errc::not_found,
          "record " + std::to_string(record.value) + " for '" + folder.string() +
              "' is not in the log any more"};
}

result<log_record> record_in(ordered_log& log, lsn at) {
  std::optional<log_record> found;
  auto read = log.read_from(at, [&](const log_record& record) {
    found = record;
    return false;
  });
  if (!read) return read.error();
  if (!found || found->lsn != at)
    return error{errc::not_found, "record " + std::to_string(at.value) + " is not in the log"};
  return *found;
}

}  // namespace

result<void> copy_log(ordered_log& from,
                      lsn after,
                      lsn through,
                      const std::filesystem::path& folder) {
  segment_log::options how;
  how.folder = folder;
  how.mode = schemas::log_mode::os;
  how.continue_after = after;
  auto to = segment_log::open(std::move(how));
  if (!to) return to.error();
  log_writer writer(**to, after);
  result<void> written;
  if (through > after) {
    auto read = from.read_from(writer.next(), [&](const log_record& record) {
      if (record.lsn < writer.next()) return true;
      if (record.lsn > through) return false;
      written = record.lsn == writer.next() ? writer.add(record) : missing(writer.next(), folder);
      return written.ok() && record.lsn < through;
    });
    if (!read) return read;
    if (!written) return written;
    if (writer.next() <= through) return missing(writer.next(), folder);
  }
  if (written = writer.write(); !written) return written;
  return (*to)->close();
}

result<void> append_rest(ordered_log& from, ordered_log& into) {
  const auto kept = from.last();
  lsn at = into.last().last;
  if (kept.first == lsn{} || kept.last <= at) return {};
  const auto differs = [&] {
    return error{errc::corrupt,
                 "record " + std::to_string(at.value) + ", where the copy ends, is another"};
  };
  if (at.value + 1 < kept.first.value) return differs();
  if (at >= kept.first) {
    const auto there = record_in(into, at);
    if (!there) return there.error();
    const auto here = record_in(from, at);
    if (!here) return here.error();
    if (!std::ranges::equal(there->payload.bytes(), here->payload.bytes())) return differs();
  }
  result<void> appended;
  auto read = from.read_from(lsn{at.value + 1}, [&](const log_record& record) {
    into.append({&record, 1}, at, [&](const append_outcome& outcome) {
      if (outcome.state != append_state::committed) appended = error{outcome.code, outcome.detail};
    });
    at = record.lsn;
    return appended.ok();
  });
  return appended ? read : appended;
}

}  // namespace headrace::storage
