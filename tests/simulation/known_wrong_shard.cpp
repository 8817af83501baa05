#include "tests/simulation/known_wrong_shard.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace headrace::simulation {
namespace {

bool is_finite(const schemas::push_section& section) {
  return std::all_of(
      section.blocks.begin(), section.blocks.end(), [](const schemas::row_block& block) {
        const auto values = block.fp32_values();
        return std::all_of(
            values.begin(), values.end(), [](float value) { return std::isfinite(value); });
      });
}

}  // namespace

known_wrong_shard::known_wrong_shard(variant kind, parts from)
    : kind_(kind), from_(std::move(from)) {}

result<std::unique_ptr<shard_under_test>> known_wrong_shard::open(variant kind, parts from) {
  std::unique_ptr<known_wrong_shard> made(new known_wrong_shard(kind, std::move(from)));
  made->state_ = new_state(made->from_.id, made->from_.schema);
  auto& state = *made->state_;
  if (auto loaded = state.load(*made->from_.rows); !loaded) return loaded.error();
  // Watermarks come from the whole log; the mutants that keep them apart trust their own file.
  result<void> redone;
  const auto read = made->from_.log->read_from(lsn{1}, [&](const storage::log_record& record) {
    redone = state.redo(record);
    if (const auto section = schemas::decode_push(record.payload)) {
      made->committed_[section->source.name] = section->batch;
    }
    return redone.ok();
  });
  if (!read) return read.error();
  if (!redone) return redone.error();
  if (made->keeps_apart()) made->committed_ = *made->from_.side;
  made->tail_ = made->from_.log->last().last;
  return std::unique_ptr<shard_under_test>(std::move(made));
}

batch_number known_wrong_shard::committed(const schemas::source_id& source) const {
  const auto it = committed_.find(source.name);
  return it == committed_.end() ? batch_number{} : it->second;
}

batch_number known_wrong_shard::admitted(const schemas::source_id& source) const {
  batch_number end = committed(source);
  for (const waiting& one : appended_) {
    if (!one.rolled_back && one.source == source.name) end = one.batch;
  }
  return end;
}

frame known_wrong_shard::ack(errc status, batch_number watermark, lsn at) const {
  schemas::push_ack made;
  made.shard = from_.id;
  made.status = status;
  made.watermark = watermark;
  made.lsn = at;
  made.applied = status == errc::ok && at.value > 0;
  made.version = state_->version();
  made.slowest_clock = UINT64_MAX;  // no source waits for another
  made.retry_after_ms = status == errc::overloaded ? 10 : 0;
  return schemas::encode(made);
}

void known_wrong_shard::push(const frame& bytes, answer reply) {
  const auto section = schemas::decode_push(bytes);
  CHECK(section.ok());
  const batch_number watermark = admitted(section->source);
  if (section->batch <= watermark && !has(variant::no_dedupe))
    return duplicate(*section, watermark, std::move(reply));
  if (section->batch > watermark && section->prev != watermark && !has(variant::accepts_gaps)) {
    return reply(ack(errc::gap, watermark, lsn{}));
  }
  if (appended_.size() >= in_flight_max) return reply(ack(errc::overloaded, watermark, lsn{}));
  if (has(variant::omits_voids) && !is_finite(*section))
    return reply(ack(errc::not_finite, watermark, lsn{}));
  append(*section, std::move(reply));
}

void known_wrong_shard::duplicate(const schemas::push_section& section,
                                  batch_number watermark,
                                  answer reply) {
  const auto first = std::find_if(appended_.rbegin(), appended_.rend(), [&](const waiting& one) {
    return !one.rolled_back && one.source == section.source.name;
  });
  if (first == appended_.rend() || has(variant::acknowledges_duplicates_before_commit))
    return reply(ack(errc::ok, watermark, lsn{}));
  first->duplicates.push_back(std::move(reply));
}

void known_wrong_shard::append(const schemas::push_section& section, answer reply) {
  waiting one;
  one.source = section.source.name;
  one.batch = section.batch;
  one.record.lsn = lsn{tail_.value + 1};
  one.record.stamp_ms = from_.time->now_ms();
  one.record.kind =
      section.blocks.empty() ? storage::record_kind::advance : storage::record_kind::push;
  one.record.payload = section.bytes;
  if (!is_finite(section)) {
    auto header = section;
    header.blocks.clear();
    one.record.kind = storage::record_kind::voided;
    one.record.reason = errc::not_finite;
    one.record.payload = schemas::encode(header);
  }
  const storage::log_record record = one.record;
  tail_ = record.lsn;
  if (has(variant::shows_uncommitted) || has(variant::applies_before_commit))
    static_cast<void>(state_->redo(record));
  if (has(variant::watermark_before_record)) (*from_.side)[one.source] = one.batch;
  if (has(variant::acknowledges_before_commit)) {
    reply(ack(record.reason, one.batch, record.lsn));
  } else {
    one.reply = std::move(reply);
  }
  appended_.push_back(std::move(one));
  from_.log->append(std::span(&record, 1),
                    lsn{record.lsn.value - 1},
                    [at = record.lsn, deliver = from_.deliver](
                        const storage::append_outcome& outcome) { deliver(at, outcome); });
}

bool known_wrong_shard::outcome(lsn at, const storage::append_outcome& outcome) {
  if (failed_ || outcome.state == storage::append_state::unknown) {
    failed_ = true;
    return false;
  }
  CHECK(!appended_.empty());
  CHECK(appended_.front().record.lsn == at);
  if (outcome.state == storage::append_state::refused) {
    if (!appended_.front().rolled_back) roll_back();
    appended_.pop_front();
  } else {
    waiting done = std::move(appended_.front());
    appended_.pop_front();
    settle(std::move(done));
  }
  if (appended_.empty()) answer_pulls();
  return true;
}

void known_wrong_shard::settle(waiting done) {
  static_cast<void>(state_->redo(done.record));
  committed_[done.source] = done.batch;
  if (has(variant::watermark_after_record) && ++settled_ % 3 == 0) *from_.side = committed_;
  if (done.reply) done.reply(ack(done.record.reason, done.batch, done.record.lsn));
  for (const answer& reply : done.duplicates) reply(ack(errc::ok, done.batch, lsn{}));
}

void known_wrong_shard::roll_back() {
  tail_ = lsn{appended_.front().record.lsn.value - 1};
  for (waiting& one : appended_) {
    one.rolled_back = true;
    if (one.reply) std::exchange(one.reply, nullptr)(ack(errc::overloaded, batch_number{}, lsn{}));
    for (const answer& reply : one.duplicates) reply(ack(errc::overloaded, batch_number{}, lsn{}));
    one.duplicates.clear();
  }
}

void known_wrong_shard::pull(const frame& bytes, answer reply) {
  pulls_.push_back([this, bytes, reply = std::move(reply)] {
    const auto section = schemas::decode_pull(bytes);
    CHECK(section.ok());
    reply(state_->pull(*section));
  });
  if (!has(variant::applies_before_commit) || appended_.empty()) answer_pulls();
}

void known_wrong_shard::answer_pulls() {
  for (const auto& answer_one : std::exchange(pulls_, {})) answer_one();
}

schemas::watermark_reply known_wrong_shard::watermarks(
    const schemas::watermark_request& request) const {
  schemas::watermark_reply reply;
  reply.shard = from_.id;
  reply.rows = committed(request.source);
  return reply;
}

}  // namespace headrace::simulation
