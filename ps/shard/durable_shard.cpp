#include "ps/shard/durable_shard.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::uint32_t retry_log_ms = 1'000;  // a full disk does not empty faster
constexpr std::size_t duplicates_max = 1'024;

std::string text(lsn at) { return std::to_string(at.value); }

/// Rows and log must end at the same record; anything else is damage that no redo heals.
result<void> check_ends(const shard& state, lsn flushed, const storage::ordered_log::extent& log) {
  const std::string name = "update log of shard " + std::to_string(state.id().value);
  if (state.applied() < log.last) {
    return error{errc::corrupt,
                 name + " begins at " + text(log.first) + " but rows are flushed only through " +
                     text(flushed) + "; restore the state folder from a copy"};
  }
  if (const lsn newest = std::max(state.applied(), state.newest_row()); newest > log.last) {
    return error{errc::corrupt,
                 name + " ends at " + text(log.last) + " but rows hold record " + text(newest) +
                     ": the log lost its tail; restore the state folder from a copy"};
  }
  return {};
}

/// Brings the outcome of an append to the owner: at once when the log reports inside `append`, else
/// by `deliver`.
struct rendezvous {
  std::thread::id caller = std::this_thread::get_id();
  bool returned = false;  // read and written on the caller's thread only
  std::optional<storage::append_outcome> here;
};

}  // namespace

result<std::unique_ptr<durable_shard>> durable_shard::open(
    std::unique_ptr<shard> state,
    std::unique_ptr<storage::ordered_log> log,
    storage::row_store& rows,
    const clock& time,
    schemas::log_mode mode,
    delivery deliver) {
  const auto flushed = state->load(rows);
  if (!flushed) return flushed.error();
  result<void> redone;
  const auto read = log->read_from(lsn{flushed->value + 1}, [&](const storage::log_record& record) {
    redone = state->redo(record);
    return redone.ok();
  });
  if (!redone) return redone.error();
  if (!read) return read.error();
  if (auto good = check_ends(*state, *flushed, log->last()); !good) return good.error();
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

schemas::push_ack durable_shard::refusal(errc code, std::string detail) const {
  schemas::push_ack ack;
  ack.shard = state_->id();
  ack.status = code;
  ack.detail = std::move(detail);
  ack.version = state_->version();
  ack.epoch = state_->epoch();
  ack.mode = mode_;
  return ack;
}

void durable_shard::push(const frame& section, answer reply) {
  if (failed_) {
    const std::string name = "shard " + std::to_string(state_->id().value);
    return reply(schemas::encode(refusal(errc::unavailable, name + " is being opened again")));
  }
  const auto decoded = schemas::decode_push(section);
  if (!decoded) {
    return reply(schemas::encode(refusal(decoded.error().code, decoded.error().detail)));
  }
  auto decision = state_->decide(*decoded, time_->now_ms());
  if (decision.record) return append(*decision.record, std::move(reply));
  decision.ack.mode = mode_;
  if (decision.wait_for <= state_->applied()) return reply(schemas::encode(decision.ack));
  if (duplicates_.size() == duplicates_max) {
    return reply(
        schemas::encode(refusal(errc::overloaded, "too many repeated pushes wait for the log")));
  }
  duplicates_.push_back({decision.wait_for, std::move(decision.ack), std::move(reply)});
}

void durable_shard::append(const storage::log_record& record, answer reply) {
  const lsn at = record.lsn;
  appended_.push_back({.at = at, .reply = std::move(reply)});
  auto meeting = std::make_shared<rendezvous>();
  log_->append(std::span(&record, 1),
               lsn{at.value - 1},
               [meeting, at, deliver = deliver_](const storage::append_outcome& outcome) {
                 if (std::this_thread::get_id() == meeting->caller && !meeting->returned) {
                   meeting->here = outcome;
                 } else {
                   deliver(at, outcome);
                 }
               });
  meeting->returned = true;
  if (!meeting->here) return;
  if (appended_.size() > 1)
    return deliver_(at, *meeting->here);           // outcomes before it are on their way
  static_cast<void>(outcome(at, *meeting->here));  // unknown: `failed` says so
}

bool durable_shard::outcome(lsn at, const storage::append_outcome& outcome) {
  if (failed_) return false;
  CHECK(!appended_.empty());
  CHECK(appended_.front().at == at);
  if (outcome.state == storage::append_state::unknown) {
    failed_ = true;
    return false;
  }
  if (appended_.front().rolled_back) {
    CHECK(outcome.state == storage::append_state::refused);
    appended_.pop_front();
    return true;
  }
  if (outcome.state == storage::append_state::refused) {
    refuse_from(at, outcome);
    return true;
  }
  waiting done = std::move(appended_.front());
  appended_.pop_front();
  settle(std::move(done));
  return true;
}

void durable_shard::settle(waiting done) {
  refusing_.clear();
  auto ack = state_->commit(done.at);
  ack.mode = mode_;
  const auto later =
      std::stable_partition(duplicates_.begin(), duplicates_.end(), [&](const duplicate& one) {
        return one.wait_for <= done.at;
      });
  std::vector<duplicate> now(std::move_iterator(duplicates_.begin()), std::move_iterator(later));
  duplicates_.erase(duplicates_.begin(), later);
  // Answers come last: one may lead to the next push.
  done.reply(schemas::encode(ack));
  for (duplicate& one : now) {
    one.ack.version = ack.version;  // decided before; versions never go back
    one.ack.slowest_clock = ack.slowest_clock;
    one.reply(schemas::encode(one.ack));
  }
}

void durable_shard::refuse_from(lsn at, const storage::append_outcome& outcome) {
  auto ack = refusal(errc::overloaded,
                     std::string(name(outcome.code)) + ": " + outcome.detail +
                         "; accepted again when the log can be written");
  ack.retry_after_ms = retry_log_ms;
  refusing_ = outcome.detail;
  state_->roll_back(at);
  // Everything in flight is behind `at`. The log refuses those appends, too, and will say so one by
  // one; until then they stay in the queue, so that a later push at the same position is not taken
  // for one of them.
  std::vector<answer> refused;
  for (waiting& one : appended_) {
    one.rolled_back = true;
    if (one.reply) refused.push_back(std::exchange(one.reply, nullptr));
  }
  appended_.pop_front();
  for (duplicate& one : duplicates_) refused.push_back(std::move(one.reply));
  duplicates_.clear();
  const frame bytes = schemas::encode(ack);
  for (const answer& reply : refused) reply(bytes);
}

frame durable_shard::pull(const frame& section) const {
  const auto decoded = schemas::decode_pull(section);
  if (decoded) return state_->pull(*decoded);
  schemas::pull_reply reply;
  reply.shard = state_->id();
  reply.status = decoded.error().code;
  reply.detail = decoded.error().detail;
  reply.epoch = state_->epoch();
  return schemas::encode(reply);
}

result<lsn> durable_shard::flush() { return state_->flush(*rows_); }

result<void> durable_shard::close() {
  auto closed = log_->close();
  const auto flushed =
      state_->flush(*rows_);  // records still in flight are redone at the next start
  if (!closed) return closed;
  if (!flushed) return flushed.error();
  return {};
}

}  // namespace headrace::ps
