#include "storage/engines/message_log.hpp"

#include "base/check.hpp"
#include "base/process_secret.hpp"
#include "storage/record_codec.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::storage {
namespace {

using placed = message_stream::placed;

bool is_appendable(const log_record& record) {
  return record.payload.size() <= record_part_bytes_max &&
         record.decisions.size() <= record_part_bytes_max;
}

}  // namespace

message_log::message_log(std::unique_ptr<message_stream> stream, options how)
    : options_(std::move(how)), stream_(std::move(stream)), writer_(drawn_number()) {}

result<std::unique_ptr<message_log>> message_log::open(std::unique_ptr<message_stream> stream,
                                                       options how) {
  std::unique_ptr<message_log> made(new message_log(std::move(stream), std::move(how)));
  if (auto located = made->locate(); !located) return located.error();
  return made;
}

// The newest whole group says how far the log goes. Behind it may be parts of one that was given
// up.
result<void> message_log::locate() {
  const auto kept = stream_->look();
  if (!kept) return kept.error();
  kept_ = *kept;
  auto newest = before(kept_.next);
  while (newest && *newest && (*newest)->message.part < (*newest)->message.parts)
    newest = before((*newest)->position);
  if (!newest) return newest.error();
  if (!*newest) {
    if (kept_.first > 1)
      return stream_damage(stream_->name(), kept_.first, "the records before it are gone, all");
    extent_.last = options_.continue_after;
    return {};
  }
  if (auto read = read_newest(**newest); !read) return read;
  return find_begin(kept_.first);
}

// The first group that begins at `from` or behind it. Where the broker has retention of its own,
// the last parts of another may stand before it.
result<void> message_log::find_begin(std::uint64_t from) {
  for (std::uint64_t at = from; at < kept_.next; ++at) {
    const auto one = stream_->find(at, kept_.next);
    if (!one) return one.error();
    if (!*one) continue;
    at = (*one)->position;
    if ((*one)->message.part != 1) continue;
    kept_.first = at;
    extent_.first = (*one)->message.first;
    return {};
  }
  return stream_damage(stream_->name(), from, "the records before it are gone, all");
}

// At what was removed, by the broker or by a call whose answer was lost. The end stays ours.
result<void> message_log::look_again() {
  const auto now = stream_->look();
  if (!now) return now.error();
  if (now->first > kept_.first) {
    if (auto moved = find_begin(now->first); !moved) return moved;
  }
  begin_is_old_ = false;
  return {};
}

result<void> message_log::read_newest(const placed& its_last) {
  const auto begin = begin_of(its_last);
  if (!begin) return begin.error();
  message_groups groups(stream_->name(), options_.log);
  auto read = stream_->read(*begin, its_last.position + 1, [&](const placed& one) -> result<bool> {
    const auto added = groups.add(one);
    if (!added) return added.error();
    return true;
  });
  if (!read) return read;
  extent_.last = groups.last();
  chain_ = groups.chain();
  return {};
}

// The newest message in front of `position`.
message_log::found message_log::before(std::uint64_t position) {
  for (std::uint64_t at = position; at > kept_.first; --at) {
    auto one = stream_->find(at - 1, position);
    if (!one || *one) return one;
  }
  return std::optional<placed>{};
}

// Where the group of `part` begins.
result<std::uint64_t> message_log::begin_of(placed part) {
  while (part.message.part > 1) {
    const auto earlier = before(part.position);
    if (!earlier) return earlier.error();
    if (!*earlier || (*earlier)->message.part + 1 != part.message.part) {
      return stream_damage(stream_->name(),
                           part.position,
                           "part " + std::to_string(part.message.part) + " of record " +
                               std::to_string(part.message.first.value) +
                               " comes without the part before it");
    }
    part = **earlier;
  }
  return part.position;
}

// Where the group begins that has `record`, which is in the log. Numbers rise along the stream; the
// first guess is that each message had one record.
result<std::uint64_t> message_log::position_of(lsn record) {
  if (record <= extent_.first) return kept_.first;
  const auto begins_late = [&](const placed& one) { return one.message.first > record; };
  std::uint64_t low = kept_.first;  // begins at `record` or before it
  std::uint64_t high = kept_.next;  // and this one behind it
  const std::uint64_t behind = extent_.last.value - record.value + 1;
  std::uint64_t guess = high - low > behind ? high - behind : low;
  std::optional<placed> newest;
  while (low < high) {
    const auto one = stream_->find(guess, high);
    if (!one) return one.error();
    if (!*one || begins_late(**one)) {
      high = guess;
    } else {
      newest = **one;
      low = newest->position + 1;
      if (newest->message.last >= record && newest->message.part == newest->message.parts) break;
    }
    guess = low + (high - low) / 2;
  }
  if (!newest) return kept_.first;
  return begin_of(*newest);
}

void message_log::append(std::span<const log_record> group, lsn expected, on_outcome done) {
  CHECK(!group.empty());
  CHECK(group.front().lsn.value == expected.value + 1);
  for (std::size_t i = 1; i < group.size(); ++i)
    CHECK(group[i].lsn.value == group[i - 1].lsn.value + 1);
  using enum append_state;
  if (options_.read_only)
    return done({refused, errc::in_use, "the log was opened for reading only"});
  if (closed_) return done({refused, errc::unavailable, "the log is closed"});
  if (taken_over_)
    return done({refused, errc::in_use, stream_->name() + " has another writer: open it anew"});
  if (expected != extent_.last) {
    if (expected > extent_.last && refusal_.code != errc::ok)
      return done({refused, refusal_.code, refusal_.detail});
    return done({refused,
                 errc::in_use,
                 "the log ends at " + std::to_string(extent_.last.value) +
                     ", the append expected " + std::to_string(expected.value) +
                     ": it has another writer"});
  }
  auto outcome = write(group);
  refusal_ = outcome.state == committed ? append_outcome{} : outcome;
  done(outcome);
}

append_outcome message_log::write(std::span<const log_record> group) {
  if (!std::ranges::all_of(group, is_appendable))
    return {append_state::refused, errc::too_large, "a record is larger than a log takes"};
  std::uint64_t chain = chain_;
  auto bytes = encode_group(group, chain);
  if (begun_ && begun_->bytes != bytes && begun_->may_be_there) {
    return {append_state::refused,
            errc::in_use,
            "other records were sent to this position, and whether they are there is not known: "
            "append those again, or open the log anew"};
  }
  // What was refused is gone on with, if it comes again as it was.
  const bool goes_on = begun_ && begun_->bytes == bytes &&
                       (begun_->may_be_there || begun_->part_bytes == part_bytes_max());
  if (!goes_on) begun_ = begun{std::move(bytes), part_bytes_max()};
  return send(group, chain);
}

std::size_t message_log::part_bytes_max() const {
  return std::max<std::size_t>(1, std::min(options_.part_bytes_max, stream_->bytes_max()));
}

append_outcome message_log::send(std::span<const log_record> group, std::uint64_t chain) {
  using fate = message_stream::fate;
  const std::size_t part_max = begun_->part_bytes;
  const std::span<const std::byte> all(begun_->bytes);
  const std::size_t parts = (all.size() + part_max - 1) / part_max;
  log_message message;
  message.first = group.front().lsn;
  message.last = group.back().lsn;
  message.parts = static_cast<std::uint32_t>(parts);
  message.writer = writer_;
  message.log = options_.log;
  for (std::uint32_t& part = begun_->next_part; part <= parts; ++part) {
    const std::size_t from = (part - 1) * part_max;
    message.part = part;
    message.bytes = frame::copy_of(all.subspan(from, std::min(part_max, all.size() - from)));
    const auto out = stream_->append(message, kept_.next);
    if (out.is == fate::taken) {
      taken_over_ = true;
      return {append_state::refused, errc::in_use, stream_->name() + " has another writer"};
    }
    if (out.is == fate::refused && !begun_->may_be_there)
      return {append_state::refused, out.code, out.detail};
    if (out.is != fate::placed) {
      begun_->may_be_there = true;
      return {append_state::unknown, out.code, out.detail};
    }
    begun_->may_be_there = false;
    kept_.next = out.position + 1;
  }
  begun_.reset();
  if (extent_.first == lsn{}) extent_.first = message.first;
  extent_.last = message.last;
  chain_ = chain;
  return {append_state::committed, errc::ok, {}};
}

result<void> message_log::read_from(lsn from, const visitor& visit) {
  bool visited = false;
  auto read = read_kept(from, [&](const log_record& record) {
    visited = true;
    return visit(record);
  });
  if (read || visited || read.error().code != errc::not_found) return read;
  if (auto looked = look_again(); !looked) return looked;
  return read_kept(from, visit);
}

result<void> message_log::read_kept(lsn from, const visitor& visit) {
  if (extent_.first == lsn{} || from > extent_.last) return {};
  const auto begin = position_of(from);
  if (!begin) return begin.error();
  message_groups groups(stream_->name(), options_.log);
  bool stopped = false;
  auto read = stream_->read(*begin, kept_.next, [&](const placed& one) -> result<bool> {
    const auto records = groups.add(one);
    if (!records) return records.error();
    for (const log_record& record : *records) {
      if (record.lsn < from || stopped) continue;
      stopped = !visit(record);
    }
    stopped = stopped || groups.last() >= extent_.last;
    return !stopped;
  });
  if (!read || stopped) return read;
  return stream_damage(stream_->name(),
                       kept_.next,
                       "it ends at record " + std::to_string(groups.last().value) + ", and had " +
                           std::to_string(extent_.last.value));
}

result<void> message_log::truncate_before(lsn keep_from) {
  if (options_.read_only) return error{errc::in_use, "the log was opened for reading only"};
  if (extent_.first == lsn{}) return {};
  if (begin_is_old_) {
    if (auto looked = look_again(); !looked) return looked;
  }
  const auto begin = position_of(std::min(keep_from, extent_.last));
  if (!begin) return begin.error();
  if (*begin <= kept_.first) return {};
  auto removed = stream_->forget_before(*begin);
  begin_is_old_ = true;
  auto looked = look_again();
  if (!removed || looked || looked.error().code == errc::unavailable) return removed;
  return looked;
}

result<void> message_log::close() {
  closed_ = true;
  return {};
}

}  // namespace headrace::storage
