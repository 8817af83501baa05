#include "ps/shard/durable_shard.hpp"

#include <thread>
#include <utility>

namespace headrace::ps {

result<std::unique_ptr<durable_shard>> durable_shard::open(std::unique_ptr<shard> state,
                                                           std::unique_ptr<storage::ordered_log> log,
                                                           storage::row_store& rows,
                                                           const clock& time,
                                                           schemas::log_mode mode,
                                                           delivery deliver) {
  auto flushed = state->load(rows);
  if (!flushed) return flushed.error();
  result<void> redone;
  auto read = log->read_from(lsn{flushed->value + 1}, [&](const storage::log_record& record) {
    redone = state->redo(record);
    return redone.ok();
  });
  if (!read) return read.error();
  if (!redone) return redone.error();
  if (state->applied() < log->last().last) {
    return error{errc::corrupt,
                 "update log of shard " + std::to_string(state->id().value) + " begins at " +
                     std::to_string(log->last().first.value) + " but rows are flushed only through " +
                     std::to_string(flushed->value) + "; restore the state folder from a copy"};
  }
  std::unique_ptr<durable_shard> made(new durable_shard);
  made->state_ = std::move(state);
  made->log_ = std::move(log);
  made->rows_ = &rows;
  made->time_ = &time;
  made->mode_ = mode;
  made->deliver_ = std::move(deliver);
  return made;
}

durable_shard::~durable_shard() = default;

frame durable_shard::refusal(errc code, std::string detail) const {
  schemas::push_ack ack;
  ack.shard = state_->id();
  ack.status = code;
  ack.detail = std::move(detail);
  ack.mode = mode_;
  return schemas::encode(ack);
}

void durable_shard::push(const frame& section, answer reply) {
  auto decoded = schemas::decode_push(section);
  if (!decoded) return reply(refusal(decoded.error().code, decoded.error().detail));
  auto decision = state_->decide(*decoded, time_->now_ms());
  if (!decision.record) {
    decision.ack.mode = mode_;
    if (decision.wait_for <= state_->applied()) return reply(schemas::encode(decision.ack));
    duplicates_.emplace(decision.wait_for, std::pair(std::move(decision.ack), std::move(reply)));
    return;
  }
  const lsn at = decision.record->lsn;
  appended_.emplace(at, std::move(reply));
  // An engine that commits inside `append` is settled here, after it returned; others deliver.
  struct rendezvous {
    std::thread::id caller = std::this_thread::get_id();
    bool returned = false;  // read and written on the caller's thread only
    std::optional<storage::append_outcome> here;
  };
  auto meeting = std::make_shared<rendezvous>();
  log_->append(std::span(&*decision.record, 1),
               lsn{at.value - 1},
               [meeting, at, deliver = deliver_](const storage::append_outcome& outcome) {
                 if (std::this_thread::get_id() == meeting->caller && !meeting->returned) {
                   meeting->here = outcome;
                 } else {
                   deliver(at, outcome);
                 }
               });
  meeting->returned = true;
  if (meeting->here && !outcome(at, *meeting->here)) failed_ = true;
}

bool durable_shard::outcome(lsn at, const storage::append_outcome& outcome) {
  if (outcome.state == storage::append_state::unknown) return false;
  if (!appended_.contains(at)) return true;  // rolled back with an earlier one
  if (outcome.state == storage::append_state::refused) {
    refuse_from(at, outcome);
  } else {
    settle(at, outcome);
  }
  return true;
}

void durable_shard::settle(lsn at, const storage::append_outcome&) {
  auto waiting = appended_.extract(at);
  auto ack = state_->commit(at);
  ack.mode = mode_;
  waiting.mapped()(schemas::encode(ack));
  auto [from, to] = duplicates_.equal_range(at);
  for (auto it = from; it != to; ++it) it->second.second(schemas::encode(it->second.first));
  duplicates_.erase(from, to);
}

void durable_shard::refuse_from(lsn at, const storage::append_outcome& outcome) {
  state_->roll_back(at);
  schemas::push_ack ack;
  ack.shard = state_->id();
  ack.status = errc::overloaded;
  ack.retry_after_ms = 1'000;
  ack.mode = mode_;
  ack.detail = std::string(name(outcome.code)) + ": " + outcome.detail + "; will be accepted when the log can be written";
  const frame bytes = schemas::encode(ack);
  for (auto it = appended_.lower_bound(at); it != appended_.end(); it = appended_.erase(it)) it->second(bytes);
  for (auto it = duplicates_.lower_bound(at); it != duplicates_.end(); it = duplicates_.erase(it)) {
    it->second.second(bytes);
  }
}

frame durable_shard::pull(const frame& section) const {
  auto decoded = schemas::decode_pull(section);
  if (decoded) return state_->pull(*decoded);
  schemas::pull_reply reply;
  reply.shard = state_->id();
  reply.status = decoded.error().code;
  reply.detail = decoded.error().detail;
  return schemas::encode(reply);
}

result<lsn> durable_shard::flush() {
  if (!appended_.empty()) return state_->applied();
  return state_->flush(*rows_);
}

result<void> durable_shard::close() {
  auto closed = log_->close();
  if (!appended_.empty()) return closed;  // their records are redone at the next start
  auto flushed = state_->flush(*rows_);
  if (!closed) return closed.error();
  if (!flushed) return flushed.error();
  return {};
}

}  // namespace headrace::ps
