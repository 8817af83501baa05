#include "worker/batch/sealed_stream.hpp"

#include "base/log.hpp"

#include <algorithm>
#include <future>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t logged_samples_max = 65'536;  // read from the log at a time

std::string number(batch_number batch) { return std::to_string(batch.value); }

result<schemas::sample_batch> decoded(const storage::log_record& record) {
  auto batch = schemas::decode_sample_batch(record.payload);
  if (!batch) return batch;
  if (batch->batch.value == record.lsn.value) return batch;
  return error{errc::corrupt,
               "sample log: record " + std::to_string(record.lsn.value) + " holds batch " +
                   number(batch->batch)};
}

}  // namespace

sealed_stream::sealed_stream(parts built, const clock& time)
    : parts_(std::move(built)), time_(time) {}

result<void> sealed_stream::open(batch_number first) {
  next_ = first;
  const auto kept = parts_.log->last();
  sealed_ = batch_number{kept.last.value};
  if (sealed_.value + 1 < first.value) {
    return error{errc::corrupt,
                 "sample log ends at batch " + number(sealed_) + " but the shards have batch " +
                     std::to_string(first.value - 1) +
                     ": another worker trains this source, or this folder is not the one it was "
                     "trained with; "
                     "use the worker's own state folder"};
  }
  if (kept.last.value != 0 && first <= sealed_ && first.value < kept.first.value) {
    return error{errc::corrupt,
                 "sample log begins at batch " + std::to_string(kept.first.value) + " but batch " +
                     number(first) + " is needed; restore the state folder from a copy"};
  }
  if (kept.last.value != 0) {
    result<schemas::sample_batch> last = error{errc::corrupt, "sample log lost its last batch"};
    auto read = parts_.log->read_from(kept.last, [&](const storage::log_record& record) {
      last = decoded(record);
      return false;
    });
    if (!read) return read;
    if (!last) return last.error();
    last_sealed_ = last->last;
    if (!last_sealed_) {
      if (auto skipped = parts_.source->skip(last->offset_end); !skipped) return skipped;
    }
  } else if (auto begun = parts_.source->skip(parts_.source->position()); !begun) {
    return begun;
  }
  first_position_ = parts_.source->position();
  started_ns_ = time_.steady_ns();
  return {};
}

result<sealed_stream::pumped> sealed_stream::next() {
  result<pumped> given = pumped{};
  if (next_ <= sealed_) {  // logged in an earlier run
    given = next_logged();
  } else if (sealing_) {  // refused a moment ago
    given = append_sealing();
  } else if (last_sealed_) {
    return pumped{nullptr, 0, true};
  } else {
    if (!built_) {
      auto due = read_due();
      if (!due) return due.error();
      if (!*due && at_halt() && !stopping_) return pumped{nullptr, 0, false, true};
      if (!*due) return pumped{nullptr, wake_ns(), source_ended_ || stopping_};
      built_ = std::move(*due);
    }
    if (auto sealed = seal(); !sealed) return sealed.error();
    given = append_sealing();
  }
  if (given) next_ = batch_number{next_.value + 1};
  return given;
}

// Batch next_ from the log, which is read a run of batches at a time: opening it for each would be
// quadratic.
result<sealed_stream::pumped> sealed_stream::next_logged() {
  if (logged_.empty()) {
    std::optional<error> failed;
    std::size_t samples = 0;
    auto read = parts_.log->read_from(lsn{next_.value}, [&](const storage::log_record& record) {
      auto batch = decoded(record);
      if (!batch) {
        failed = batch.error();
        return false;
      }
      samples += batch->samples;
      logged_.push_back({.batch = std::make_shared<const schemas::sample_batch>(std::move(*batch)),
                         .bytes = record.payload});
      return samples < logged_samples_max && logged_.back().batch->batch < sealed_;
    });
    if (!read) return read.error();
    if (failed && logged_.empty()) return *failed;
    if (logged_.empty() || logged_.front().batch->batch != next_) {
      return error{
          errc::corrupt,
          "sample log has no batch " + number(next_) + "; restore the state folder from a copy"};
    }
  }
  pumped first = std::move(logged_.front());
  logged_.pop_front();
  return first;
}

// Reads events until a batch is full, one that waits is due, or the next event is not due yet. When
// the source fails, what was read before is sealed first.
result<std::optional<schemas::sample_batch>> sealed_stream::read_due() {
  while (!stopping_ || parts_.source->live()) {
    const std::uint64_t now = time_.steady_ns();
    if (parts_.builder.due(now)) break;
    read_ahead();
    if (source_ended_ || source_failure_ || at_halt()) break;
    if (stopping_ && !event_waits_) break;  // a live source gave everything it had
    if (!event_waits_ || event_due_ns() > now) return std::optional<schemas::sample_batch>{};
    event_waits_ = false;
    if (auto full = parts_.builder.add(event_, parts_.source->position(), now, time_.now_ms())) {
      // Whether this batch is the last one is part of it, so the source is asked before it is
      // sealed.
      read_ahead();
      return full;
    }
  }
  if (parts_.builder.empty() && source_failure_ && !stopping_) return *source_failure_;
  return parts_.builder.flush();
}

// Makes event_ the next event if there is one now, or notes that there is none, or that the source
// failed: for good.
void sealed_stream::read_ahead() {
  if (event_waits_ || source_ended_ || source_failure_) return;
  auto more = parts_.source->next(event_);
  if (!more) {
    source_failure_ = more.error();
    return;
  }
  event_waits_ = *more;
  source_ended_ = !*more && !parts_.source->live();
}

// Between two passes, and nobody said to go on.
bool sealed_stream::at_halt() const {
  return parts_.pass > 0 && event_waits_ && records_added() % parts_.pass == 0 &&
         passes() > gone_on_;
}

// When the waiting event may be used; 0 without a pace.
std::uint64_t sealed_stream::event_due_ns() const {
  if (!parts_.pace) return 0;
  return started_ns_ + parts_.pace->due_ns(parts_.source->position() - 1 - first_position_);
}

// When to look again: the waiting event's due time or the held batch's, whichever is first.
std::uint64_t sealed_stream::wake_ns() const {
  const auto held = parts_.builder.due_at_ns();
  if (!event_waits_) return held.value_or(never);
  return held ? std::min(*held, event_due_ns()) : event_due_ns();
}

// Makes sealing_ of built_, which stays for the next try where the log cannot be read.
result<void> sealed_stream::seal() {
  schemas::sample_batch& batch = *built_;
  batch.batch = batch_number{sealed_.value + 1};
  batch.prev = sealed_;
  batch.last = source_ended_ && parts_.builder.empty();
  if (parts_.history) {
    if (auto mixed = parts_.history->mix(*parts_.log, batch); !mixed) return mixed;
  }
  sealing made;
  made.record.lsn = lsn{batch.batch.value};
  made.record.kind = storage::record_kind::sample;
  made.record.stamp_ms = time_.now_ms();
  made.record.schema_version = batch.schema_version;
  made.record.payload = schemas::encode(batch);
  made.batch = std::make_shared<const schemas::sample_batch>(std::move(batch));
  sealing_ = std::move(made);
  built_.reset();
  return {};
}

// Offers sealing_ to the log; a refusal leaves it there for the next try.
result<sealed_stream::pumped> sealed_stream::append_sealing() {
  std::promise<storage::append_outcome> settled;
  parts_.log->append(std::span(&sealing_->record, 1),
                     lsn{sealed_.value},
                     [&](const storage::append_outcome& outcome) { settled.set_value(outcome); });
  const auto outcome = settled.get_future().get();
  if (outcome.state != storage::append_state::committed) {
    const errc code = outcome.code == errc::ok ? errc::io_error : outcome.code;
    return error{code, "sample log: " + outcome.detail};
  }
  sample_batch_ptr sealed = std::move(sealing_->batch);
  sealed_ = sealed->batch;
  last_sealed_ = sealed->last;
  const storage::log_record record = std::move(sealing_->record);
  sealing_.reset();
  retain(record);
  if (auto told = parts_.source->sealed(sealed->offset_end); !told) return told.error();
  return pumped{.batch = std::move(sealed), .bytes = record.payload};
}

// Batches that could not be removed do no harm but the room they take.
void sealed_stream::retain(const storage::log_record& sealed) {
  if (!parts_.retention) return;
  const auto keep_from = parts_.retention->sealed(
      batch_number{sealed.lsn.value}, sealed.stamp_ms, sealed.payload.size());
  if (!keep_from) return;
  if (auto removed = parts_.log->truncate_before(lsn{keep_from->value}); !removed)
    log_warn("samples.retain", {{"error", describe(removed.error())}});
}

batch_stream::refused_rows sealed_stream::refused() const {
  const bad_rows& bad = parts_.source->bad();
  return {bad.total(), bad.first(), bad.summary()};
}

batch_number sealed_stream::oldest() const {
  return batch_number{std::max<std::uint64_t>(1, parts_.log->last().first.value)};
}

void sealed_stream::finish_early() { stopping_ = true; }

result<void> sealed_stream::close() { return parts_.log->close(); }

}  // namespace headrace::worker
