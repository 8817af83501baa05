#include "worker/step/push_window.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint32_t backoff_doublings_max = 5;  // 32 × timeout
// A late answer may be older than what was acknowledged; so many attempts in a row can't be all
// late.
constexpr std::uint32_t behind_strikes_max = 4;

}  // namespace

push_window::push_window(window_spec spec, std::vector<batch_number> watermarks)
    : spec_(std::move(spec)) {
  CHECK(!watermarks.empty());
  CHECK(spec_.in_flight_max > 0);
  CHECK(spec_.advance_after > 0);
  completed_ = *std::min_element(watermarks.begin(), watermarks.end());
  submitted_ = completed_;
  chains_.resize(watermarks.size());
  for (std::size_t s = 0; s < watermarks.size(); ++s) {
    chains_[s].acked = chains_[s].end = watermarks[s];
  }
}

bool push_window::may_start() const {
  return started_.size() < spec_.in_flight_max && !too_far_ahead();
}

// Both clocks come from answers, so that a source alone is never ahead of itself. The highest G
// over the shards is used: one shard's may lag by an advance not yet sent, none is ever too high.
bool push_window::too_far_ahead() const {
  return own_clock_ > slowest_clock_ && own_clock_ - slowest_clock_ > spec_.staleness_bound;
}

void push_window::start(batch_number batch) {
  CHECK(batch > (started_.empty() ? submitted_ : started_.back()));
  started_.push_back(batch);
}

std::vector<outgoing> push_window::submit(batch_number batch,
                                          batch_number prev,
                                          std::span<const frame> sections,
                                          std::uint64_t now_ns) {
  CHECK(sections.size() == chains_.size());
  CHECK(batch > submitted_);
  CHECK(prev < batch);
  CHECK(std::find(started_.begin(), started_.end(), batch) != started_.end());
  submitted_ = batch;
  std::vector<outgoing> out;
  for (std::size_t s = 0; s < chains_.size(); ++s) {
    chain& link = chains_[s];
    if (batch <= link.end) continue;  // the shard is ahead: it has this batch
    if (!sections[s].empty()) {
      keep_push(s, batch, prev, sections[s]);
    } else if (batch.value - link.end.value >= spec_.advance_after) {
      close_run(s, batch);
    }
    send_new(s, now_ns, out);
  }
  complete_batches();
  return out;
}

void push_window::keep_push(std::size_t shard,
                            batch_number batch,
                            batch_number prev,
                            const frame& bytes) {
  close_run(shard, prev);
  chain& link = chains_[shard];
  const auto pushed = schemas::decode_push(bytes);
  CHECK(pushed.ok());
  CHECK(pushed->shard.value == shard);
  CHECK(pushed->lane == spec_.lane);
  CHECK(pushed->batch == batch);
  CHECK(pushed->prev == prev);
  link.kept.push_back({prev, batch, prev, bytes, pushed->pulled_version, true, false});
  link.end = batch;
}

// Batches (end, through] have no keys for this shard.
void push_window::close_run(std::size_t shard, batch_number through) {
  chain& link = chains_[shard];
  if (through <= link.end) return;
  link.kept.push_back(
      {link.end, through, link.end, encode_advance(shard, link.end, through), 0, false, false});
  link.end = through;
}

frame push_window::encode_advance(std::size_t shard, batch_number prev, batch_number batch) const {
  schemas::push_section section;
  section.epoch = spec_.epoch;
  section.schema_version = spec_.schema_version;
  section.shard = shard_id{static_cast<std::uint32_t>(shard)};
  section.lane = spec_.lane;
  section.source = spec_.source;
  section.batch = batch;
  section.prev = prev;
  return schemas::encode(section);
}

std::uint64_t push_window::wait_ns(const chain& link) const {
  return spec_.timeout_ms * 1'000'000 << std::min(link.attempts, backoff_doublings_max);
}

void push_window::send_new(std::size_t shard, std::uint64_t now_ns, std::vector<outgoing>& out) {
  chain& link = chains_[shard];
  if (link.hold_until_ns > 0) return;
  for (kept_section& next : link.kept) {
    if (next.sent) continue;
    // The first one unanswered starts the wait; later ones share it.
    if (&next == &link.kept.front()) link.deadline_ns = now_ns + wait_ns(link);
    next.sent = true;
    out.push_back({shard_id{static_cast<std::uint32_t>(shard)}, next.bytes});
  }
}

void push_window::resend(std::size_t shard,
                         batch_number from,
                         std::uint64_t now_ns,
                         std::vector<outgoing>& out) {
  chain& link = chains_[shard];
  bool first = true;
  for (kept_section& next : link.kept) {
    if (next.batch <= from) continue;
    const batch_number prev = first ? std::max(from, next.lo) : next.lo;
    first = false;
    if (!next.has_keys && prev != next.prev) {
      next.prev = prev;
      next.bytes = encode_advance(shard, prev, next.batch);
    }
    resent_ += next.sent ? 1 : 0;
    next.sent = true;
    out.push_back({shard_id{static_cast<std::uint32_t>(shard)}, next.bytes});
  }
  link.deadline_ns = now_ns + wait_ns(link);
}

std::vector<outgoing> push_window::on_ack(const schemas::push_ack& ack, std::uint64_t now_ns) {
  std::vector<outgoing> out;
  if (ack.shard.value >= chains_.size()) return out;
  chain& link = chains_[ack.shard.value];
  if (ack.status == errc::ok || is_permanent(ack.status)) {
    acknowledge(link, ack, now_ns);
    complete_batches();
  } else if (ack.status == errc::gap) {
    answer_gap(link, ack, now_ns, out);
  } else if (is_transient(ack.status) && !link.kept.empty()) {
    // Nothing more is sent to this shard before then; on_timeout goes on in order.
    const std::uint64_t patience = ack.status == errc::overloaded && ack.retry_after_ms > 0
                                       ? std::uint64_t{ack.retry_after_ms} * 1'000'000
                                       : wait_ns(link);
    link.hold_until_ns = now_ns + patience;
    link.deadline_ns = link.hold_until_ns;
  }
  return out;
}

void push_window::acknowledge(chain& link, const schemas::push_ack& ack, std::uint64_t now_ns) {
  // A duplicate's G may be older than its watermark, so it moves no clock of ours: a source alone
  // stays unblocked.
  if (ack.lsn.value > 0) own_clock_ = std::max(own_clock_, ack.watermark.value);
  slowest_clock_ = std::max(slowest_clock_, ack.slowest_clock);
  if (ack.watermark <= link.acked) return;
  link.acked = ack.watermark;
  link.end = std::max(link.end, link.acked);
  while (!link.kept.empty() && link.kept.front().batch <= link.acked) {
    const kept_section& done = link.kept.front();
    if (done.batch == ack.watermark && done.has_keys) {
      if (is_permanent(ack.status)) ++voided_;
      if (ack.applied) {
        const std::uint64_t before = ack.version > 0 ? ack.version - 1 : 0;
        staleness_ = before > done.pulled_version ? before - done.pulled_version : 0;
      }
    }
    link.kept.pop_front();
  }
  link.attempts = 0;
  link.gap_answered.reset();
  link.behind_strikes = 0;
  link.struck = false;
  if (link.kept.empty()) link.hold_until_ns = 0;
  link.deadline_ns = std::max(now_ns + wait_ns(link), link.hold_until_ns);
}

void push_window::answer_gap(chain& link,
                             const schemas::push_ack& ack,
                             std::uint64_t now_ns,
                             std::vector<outgoing>& out) {
  if (link.kept.empty() || link.hold_until_ns > 0) return;
  if (ack.watermark < link.acked) {  // a late answer, or a shard that lost its log
    if (!std::exchange(link.struck, true)) ++link.behind_strikes;
    return;
  }
  // Every section behind the lost one is answered with the same gap: going back once is enough.
  if (link.gap_answered && *link.gap_answered >= ack.watermark) return;
  link.gap_answered = ack.watermark;
  resend(ack.shard.value, ack.watermark, now_ns, out);
}

std::vector<outgoing> push_window::on_timeout(std::uint64_t now_ns) {
  std::vector<outgoing> out;
  for (std::size_t s = 0; s < chains_.size(); ++s) {
    chain& link = chains_[s];
    if (link.kept.empty() || now_ns < link.deadline_ns) continue;
    link.hold_until_ns = 0;
    ++link.attempts;
    link.gap_answered.reset();
    link.struck = false;
    resend(s, link.acked, now_ns, out);
  }
  probe(now_ns, out);
  return out;
}

// A worker that stands still because others are slow gets no answers, so it asks: an advance that
// the shard has already is a duplicate, and its acknowledgement tells G. Runs are closed too, since
// others may be waiting for this source.
void push_window::probe(std::uint64_t now_ns, std::vector<outgoing>& out) {
  if (!idle() || !too_far_ahead() || now_ns < probe_ns_) return;
  probe_ns_ = now_ns + spec_.timeout_ms * 1'000'000;
  for (std::size_t s = 0; s < chains_.size(); ++s) {
    chain& link = chains_[s];
    close_run(s, submitted_);
    send_new(s, now_ns, out);
    if (link.kept.empty() && link.acked.value > 0) {
      out.push_back({shard_id{static_cast<std::uint32_t>(s)},
                     encode_advance(s, batch_number{link.acked.value - 1}, link.acked)});
    }
  }
}

void push_window::complete_batches() {
  while (!started_.empty() && started_.front() <= submitted_) {
    const batch_number batch = started_.front();
    for (const chain& link : chains_) {
      for (const kept_section& kept : link.kept) {
        if (kept.batch > batch) break;
        if (kept.has_keys) return;
      }
    }
    completed_ = batch;
    started_.pop_front();
  }
}

std::vector<outgoing> push_window::finish(std::uint64_t now_ns) {
  CHECK(idle());
  std::vector<outgoing> out;
  for (std::size_t s = 0; s < chains_.size(); ++s) {
    close_run(s, submitted_);
    send_new(s, now_ns, out);
  }
  return out;
}

bool push_window::drained() const {
  return idle() && std::all_of(chains_.begin(), chains_.end(), [&](const chain& link) {
           return link.kept.empty() && link.end >= submitted_;
         });
}

batch_number push_window::safe_through() const {
  batch_number least = chains_.front().acked;
  for (const chain& link : chains_) least = std::min(least, link.acked);
  return least;
}

std::optional<shard_id> push_window::went_back() const {
  for (std::size_t s = 0; s < chains_.size(); ++s) {
    if (chains_[s].behind_strikes >= behind_strikes_max)
      return shard_id{static_cast<std::uint32_t>(s)};
  }
  return std::nullopt;
}

}  // namespace headrace::worker
