#include "ps/recovery/log_slice.hpp"

#include <algorithm>
#include <string>

namespace headrace::ps {

void log_slice::append(std::span<const storage::log_record> /*group*/,
                       lsn /*expected*/,
                       on_outcome done) {
  done({storage::append_state::refused, errc::in_use, "a part of a log is for reading only"});
}

result<void> log_slice::read_from(lsn from, const visitor& visit) {
  lsn next = std::max(from, lsn{1});
  bool more = next <= through_;
  for (storage::ordered_log* log : logs_) {
    if (!more) return {};
    if (log->last().last < next || log->last().first > next) continue;
    auto read = log->read_from(next, [&](const storage::log_record& record) {
      if (record.lsn != next) return record.lsn < next;  // behind a hole: the next log may have it
      more = visit(record);
      next = lsn{next.value + 1};
      more = more && next <= through_;
      return more;
    });
    if (!read) return read;
  }
  if (!more) return {};
  return error{errc::not_found,
               "record " + std::to_string(next.value) + " is in no log that was given"};
}

result<void> log_slice::truncate_before(lsn /*keep_from*/) { return {}; }

storage::ordered_log::extent log_slice::last() const {
  lsn first = through_;
  for (const storage::ordered_log* log : logs_) {
    if (const lsn begins = log->last().first; begins > lsn{}) first = std::min(first, begins);
  }
  return {first, through_};
}

}  // namespace headrace::ps
