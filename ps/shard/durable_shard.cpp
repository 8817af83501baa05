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
constexpr std::size_t queue_max = 1'024;         // pushes that wait for rows; fetches under way
constexpr std::size_t scan_rows = 8'192;         // looked at when room is made
constexpr std::size_t scan_rows_max = 1U << 20;  // the same when there is none left

std::string text(lsn at) { return std::to_string(at.value); }

/// Brings the outcome of an append to the owner: at once when the log reports inside `append`, else
/// by `deliver`.
struct rendezvous {
  std::thread::id caller = std::this_thread::get_id();
  bool returned = false;  // read and written on the caller's thread only
  std::optional<storage::append_outcome> here;
};

}  // namespace

// ---- from disk to service ----

durable_shard::durable_shard(parts from) : parts_(std::move(from)), state_(parts_.state.get()) {}

result<std::unique_ptr<durable_shard>> durable_shard::open(parts from) {
  std::unique_ptr<durable_shard> made(new durable_shard(std::move(from)));
  if (auto good = made->recover(); !good) return good.error();
  if (made->state_->has_cold_rows()) made->take_rest();
  return made;
}

// What was given to others must end before a later incarnation writes the same rows.
durable_shard::~durable_shard() { parts_.io->finish(); }

// ---- pushes and pulls ----

schemas::push_ack durable_shard::refusal(errc code, std::string detail) const {
  schemas::push_ack ack;
  ack.shard = state_->id();
  ack.status = code;
  ack.detail = std::move(detail);
  ack.version = state_->version();
  ack.epoch = state_->epoch();
  ack.mode = parts_.how.mode;
  return ack;
}

void durable_shard::answer_push(const answer& reply, const schemas::push_ack& ack) {
  if (ack.status != errc::ok) ++refused_[ack.status];
  reply(schemas::encode(ack));
}

void durable_shard::fail(error why) {
  if (!failure_) failure_ = std::move(why);
}

void durable_shard::fetch(const request_ptr& what, std::function<void()> then) {
  struct found_rows {
    fetched_rows rows;
    result<void> read;
  };
  what->fetching = true;
  ++fetches_;
  auto found = std::make_shared<found_rows>();
  parts_.io->run(
      [what, found, store = parts_.rows, id = state_->id()] {
        for (const working_set::part& part : what->rows.parts) {
          if (!found->read || part.missing.empty()) continue;
          found->read =
              store->read(id, part.table, part.missing, [&](const storage::stored_row& row) {
                found->rows.add(row);
              });
        }
      },
      [this, what, found, then = std::move(then)] {
        --fetches_;
        what->fetching = false;
        if (failed()) return;
        if (!found->read) return fail(found->read.error());
        if (auto filled = state_->fill_set(what->rows, found->rows); !filled)
          return fail(filled.error());
        then();
      });
}

void durable_shard::push(const frame& section, answer reply) {
  if (failed()) {
    const std::string name = "shard " + std::to_string(state_->id().value);
    return answer_push(reply, refusal(errc::unavailable, name + " is being opened again"));
  }
  auto decoded = schemas::decode_push(section);
  if (!decoded) {
    return answer_push(reply, refusal(decoded.error().code, decoded.error().detail));
  }
  if (queue_.size() >= queue_max) {
    return answer_push(
        reply,
        refusal(errc::overloaded,
                std::to_string(queue_.size()) + " pushes wait for rows; send again"));
  }
  auto what = std::make_shared<request>();
  what->push = std::move(*decoded);
  what->reply = std::move(reply);
  if (state_->may_miss() && state_->fits_tables(what->push)) {
    what->rows = state_->open_set(std::span<const schemas::row_block>(what->push.blocks));
  }
  queue_.push_back(what);
  if (what->rows.missing() > 0) return fetch(what, [this] { pump(); });
  pump();
}

/// The tail or the tables are so full that rows must be written back before more is taken.
bool durable_shard::must_wait() {
  if (state_->far_over_budget()) state_->tidy(scan_rows_max);
  if (!is_full()) return false;
  // A disk that was full is tried again as often as workers are told to come back.
  if (!write_back_failure_ || parts_.time->now_ms() >= failed_ms_ + retry_log_ms) begin_cycle();
  return cycle_.has_value();
}

void durable_shard::pump() {
  if (std::exchange(pumping_, true)) return;
  while (!failed() && !queue_.empty() && !queue_.front()->fetching) {
    if (must_wait()) break;
    const request_ptr first = std::move(queue_.front());
    queue_.pop_front();
    if (write_back_failure_ && is_full()) {
      auto ack = refusal(errc::overloaded,
                         "rows cannot be written back (" + write_back_failure_->detail +
                             "); accepted again when they can");
      ack.retry_after_ms = retry_log_ms;
      state_->close_set(first->rows);
      answer_push(first->reply, ack);
      continue;
    }
    decide(*first);
    if (!cycle_ && tail_is_half_full()) begin_cycle();
  }
  pumping_ = false;
}

void durable_shard::decide(request& what) {
  auto decision = state_->decide(what.push, parts_.time->now_ms());
  if (decision.record) {
    return append(*decision.record,
                  {.at = decision.record->lsn,
                   .reply = std::move(what.reply),
                   .removed = nullptr,
                   .rows = std::move(what.rows)});
  }
  state_->close_set(what.rows);
  decision.ack.mode = parts_.how.mode;
  if (decision.wait_for <= state_->applied()) return answer_push(what.reply, decision.ack);
  if (duplicates_.size() == duplicates_max) {
    return answer_push(what.reply,
                       refusal(errc::overloaded, "too many repeated pushes wait for the log"));
  }
  duplicates_.push_back({decision.wait_for, std::move(decision.ack), std::move(what.reply)});
}

void durable_shard::append(const storage::log_record& record, waiting what) {
  const lsn at = record.lsn;
  appended_.push_back(std::move(what));
  auto meeting = std::make_shared<rendezvous>();
  parts_.log->append(
      std::span(&record, 1),
      lsn{at.value - 1},
      [meeting, at, deliver = parts_.deliver](const storage::append_outcome& outcome) {
        if (std::this_thread::get_id() == meeting->caller && !meeting->returned) {
          meeting->here = outcome;
        } else {
          deliver(at, outcome);
        }
      });
  meeting->returned = true;
  if (!meeting->here) return;
  if (appended_.size() > 1)
    return parts_.deliver(at, *meeting->here);     // outcomes before it are on their way
  static_cast<void>(outcome(at, *meeting->here));  // unknown: `failure` says so
}

bool durable_shard::outcome(lsn at, const storage::append_outcome& outcome) {
  if (failed()) return false;
  CHECK(!appended_.empty());
  CHECK(appended_.front().at == at);
  if (outcome.state == storage::append_state::unknown) {
    fail({errc::io_error,
          "outcome of the append at " + text(at) + " is unknown: " + outcome.detail});
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
  state_->close_set(done.rows);
  ack.mode = parts_.how.mode;
  const auto later =
      std::stable_partition(duplicates_.begin(), duplicates_.end(), [&](const duplicate& one) {
        return one.wait_for <= done.at;
      });
  std::vector<duplicate> now(std::move_iterator(duplicates_.begin()), std::move_iterator(later));
  duplicates_.erase(duplicates_.begin(), later);
  // Answers come last: one may lead to the next push.
  if (done.removed) {
    done.removed(done.at);
  } else {
    answer_push(done.reply, ack);
  }
  for (duplicate& one : now) {
    one.ack.version = ack.version;  // decided before; versions never go back
    one.ack.slowest_clock = ack.slowest_clock;
    answer_push(one.reply, one.ack);
  }
  tidy();
}

void durable_shard::tidy() {
  if (!state_->over_budget()) return;
  state_->tidy(scan_rows);
  if (state_->over_budget()) begin_cycle();  // what is in the way is dirty
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
  std::vector<std::function<void(const result<lsn>&)>> stayed;
  for (waiting& one : appended_) {
    one.rolled_back = true;
    state_->close_set(one.rows);
    if (one.removed) stayed.push_back(std::exchange(one.removed, nullptr));
    if (one.reply) refused.push_back(std::exchange(one.reply, nullptr));
  }
  appended_.pop_front();
  for (duplicate& one : duplicates_) refused.push_back(std::move(one.reply));
  duplicates_.clear();
  for (const answer& reply : refused) answer_push(reply, ack);
  for (const auto& done : stayed) done(error{ack.status, ack.detail});
}

// ---- removals ----

void durable_shard::remove(removal what, std::function<void(const result<lsn>&)> done) {
  const auto record = state_->remove(std::move(what), parts_.time->now_ms());
  if (!record) {
    return done(error{errc::overloaded,
                      "too many pushes of shard " + std::to_string(state_->id().value) +
                          " wait for the log; try again"});
  }
  append(*record, {.at = record->lsn, .reply = nullptr, .removed = std::move(done), .rows = {}});
}

void durable_shard::forget(table_id table,
                           std::vector<std::uint64_t> keys,
                           std::function<void(const result<forgotten>&)> done,
                           bool dry_run) {
  schemas::pull_section named;
  named.shard = state_->id();
  named.blocks.push_back({table, schemas::value_codec::fp32, keys});
  if (failed()) return done(error{errc::unavailable, "the shard is being opened again"});
  if (auto good = state_->check_keys(named); !good) return done(good.error());
  auto what = std::make_shared<request>();
  what->rows = state_->open_set(std::span<const schemas::pull_block>(named.blocks));
  auto then = [this, what, table, keys = std::move(keys), done = std::move(done), dry_run] {
    forgotten report;
    report.found = state_->live_keys(table, keys);
    state_->close_set(what->rows);
    if (dry_run) return done(report);
    remove({.reason = removal::why::forgotten, .table = table, .keys = keys},
           [done, report](const result<lsn>& at) mutable {
             if (!at) return done(at.error());
             report.at = *at;
             done(report);
           });
  };
  if (what->rows.missing() == 0) return then();
  fetch(what, std::move(then));
}

void durable_shard::tick() {
  if (failed()) return;
  for (std::uint32_t i = 0; i < state_->tables(); ++i) {
    auto expired = state_->find_expired(table_id{i}, parts_.time->now_ms(), scan_rows_max);
    if (expired) remove(std::move(*expired), [](const result<lsn>&) {});
  }
  state_->tidy(scan_rows);
}

frame durable_shard::refused_pull(const error& why) const {
  schemas::pull_reply reply;
  reply.shard = state_->id();
  reply.status = why.code;
  reply.detail = why.detail;
  reply.epoch = state_->epoch();
  return schemas::encode(reply);
}

void durable_shard::pull(const frame& section, answer reply) {
  auto decoded = schemas::decode_pull(section);
  if (!decoded) return reply(refused_pull(decoded.error()));
  if (!state_->has_cold_rows() || !state_->fits_tables(*decoded))
    return reply(state_->pull(*decoded));
  if (failed() || fetches_ >= queue_max) {
    return reply(refused_pull(
        {failed() ? errc::unavailable : errc::overloaded,
         "shard " + std::to_string(state_->id().value) + " cannot read more rows now; ask again"}));
  }
  auto what = std::make_shared<request>();
  what->pull = std::move(*decoded);
  what->reply = std::move(reply);
  what->rows = state_->open_set(std::span<const schemas::pull_block>(what->pull.blocks));
  if (what->rows.missing() == 0) return answer_pull(*what);
  fetch(what, [this, what] { answer_pull(*what); });
}

void durable_shard::answer_pull(request& what) {
  frame reply = state_->pull(what.pull);
  state_->close_set(what.rows);
  tidy();
  what.reply(std::move(reply));
}

// ---- rows to the store ----

bool durable_shard::is_full() const {
  return state_->tail_rows() >= parts_.how.tail_rows_max ||
         state_->tail_bytes() >= parts_.how.tail_bytes_max ||
         (state_->far_over_budget() && state_->dirty() > 0);
}

bool durable_shard::tail_is_half_full() const {
  return state_->tail_rows() >= parts_.how.tail_rows_max / 2 ||
         state_->tail_bytes() >= parts_.how.tail_bytes_max / 2;
}

void durable_shard::flush_later(flushed done) {
  if (done) next_.push_back(std::move(done));
  begin_cycle();
}

void durable_shard::begin_cycle() {
  if (cycle_) return;
  if (state_->is_written_back()) {
    const auto through = state_->applied();
    for (const flushed& each : std::exchange(next_, {})) each(through);
    return;
  }
  cycle_.emplace(cycle{++cycles_, state_->begin_write_back(), nullptr, std::exchange(next_, {})});
  step(cycle_->number);
}

void durable_shard::step(std::uint64_t number) {
  if (!cycle_ || cycle_->number != number) return;
  shard::write_back& rest = cycle_->rest;
  if (!cycle_->batch) cycle_->batch = std::make_shared<row_batch>();
  if (cycle_->batch->rows() >= parts_.how.rows_per_batch || rest.rows.empty()) {
    return cycle_->batch->empty() ? commit_cycle() : write_batch();
  }
  rest.rows.copy(parts_.how.rows_per_slice, *cycle_->batch);
  // Others come between two slices.
  parts_.io->run([] {}, [this, number] { step(number); });
}

void durable_shard::write_batch() {
  auto written = std::make_shared<result<void>>();
  cycle_->batch->seal(state_->newest());
  parts_.io->run(
      [written, batch = cycle_->batch, store = parts_.rows, id = state_->id()] {
        *written = batch->write(id, *store);
      },
      [this, written, number = cycle_->number] {
        if (!cycle_ || cycle_->number != number) return;
        if (!*written) return end_cycle(written->error());
        cycle_->batch->landed();
        state_->tidy(scan_rows);
        step(number);
      });
}

void durable_shard::commit_cycle() {
  auto done = std::make_shared<result<void>>();
  parts_.io->run(
      [done, store = parts_.rows, id = state_->id(), position = cycle_->rest.position] {
        *done = store->commit(id, position);
      },
      [this, done, number = cycle_->number] {
        if (!cycle_ || cycle_->number != number) return;
        if (!*done) return end_cycle(done->error());
        const lsn through = cycle_->rest.through;
        state_->written_back(through);
        truncate(through);
        end_cycle(through);
      });
}

void durable_shard::truncate(lsn through) {
  const lsn keep = std::min(lsn{through.value + 1}, keep_from_);
  if (!parts_.how.truncate || keep <= lsn{1}) return;
  auto done = std::make_shared<result<void>>();
  parts_.io->run([done, keep, log = parts_.log.get()] { *done = log->truncate_before(keep); },
                 [this, done] {
                   truncation_failure_.reset();
                   if (!*done) truncation_failure_ = done->error();
                 });
}

void durable_shard::end_cycle(const result<lsn>& how) {
  if (!how) {
    state_->lost(*cycle_->batch);
    cycle_->rest.rows.give_up();
    write_back_failure_ = how.error();
    failed_ms_ = parts_.time->now_ms();
  } else {
    write_back_failure_.reset();
  }
  const std::vector<flushed> done = std::move(cycle_->done);
  cycle_.reset();
  for (const flushed& each : done) each(how);
  if (!next_.empty() && how) begin_cycle();
  for (const flushed& each : std::exchange(next_, {})) {
    if (!how) each(how);
  }
  pump();
}

result<lsn> durable_shard::flush() {
  auto through = flush_now();
  pump();  // pushes may have waited for the write-back that this one took the place of
  return through;
}

result<lsn> durable_shard::flush_now() {
  parts_.io->finish();
  std::vector<flushed> heard = std::exchange(next_, {});
  if (cycle_) {
    if (cycle_->batch) state_->lost(*cycle_->batch);
    cycle_->rest.rows.give_up();
    heard.insert(heard.end(), cycle_->done.begin(), cycle_->done.end());
    cycle_.reset();
  }
  auto flushed_through = state_->flush(*parts_.rows);
  if (flushed_through) {
    write_back_failure_.reset();
    truncate(*flushed_through);
  } else {
    write_back_failure_ = flushed_through.error();
  }
  for (const flushed& each : heard) each(flushed_through);
  return flushed_through;
}

result<void> durable_shard::close() {
  parts_.io->finish();  // a truncation may be under way
  auto closed = parts_.log->close();
  const auto done = flush_now();  // records still in flight are redone at the next start
  if (!closed) return closed;
  if (!done) return done.error();
  return {};
}

}  // namespace headrace::ps
