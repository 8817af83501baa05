#include "worker/batch/sealed_stream.hpp"

#include <future>
#include <string>
#include <utility>

namespace headrace::worker {

sealed_stream::sealed_stream(parts built, const clock& time) : parts_(std::move(built)), time_(time) {}

result<void> sealed_stream::open(batch_number first) {
  next_ = first;
  const auto kept = parts_.log->last();
  sealed_ = batch_number{kept.last.value};
  if (sealed_.value + 1 < first.value) {
    return error{errc::corrupt,
                 "sample log ends at batch " + std::to_string(sealed_.value) + " but the shards have batch " +
                     std::to_string(first.value - 1) + "; restore the state folder from a copy"};
  }
  if (kept.last.value != 0 && first <= sealed_ && first.value < kept.first.value) {
    return error{errc::corrupt,
                 "sample log begins at batch " + std::to_string(kept.first.value) + " but batch " +
                     std::to_string(first.value) + " is needed; restore the state folder from a copy"};
  }
  if (kept.last.value != 0) {
    result<schemas::sample_batch> last = error{errc::corrupt, "sample log lost its last batch"};
    auto read = parts_.log->read_from(kept.last, [&](const storage::log_record& record) {
      last = schemas::decode_sample_batch(record.payload);
      return false;
    });
    if (!read) return read;
    if (!last) return last.error();
    last_sealed_ = last->last;
    if (!last_sealed_) {
      if (auto skipped = parts_.source->skip(last->offset_end); !skipped) return skipped;
    }
  }
  first_position_ = parts_.source->position();
  started_ns_ = time_.steady_ns();
  return {};
}

result<sealed_stream::pumped> sealed_stream::next() {
  if (next_ <= sealed_) {  // logged in an earlier run, or refused space a moment ago
    result<schemas::sample_batch> logged = error{errc::corrupt, "sample log has a hole"};
    auto read = parts_.log->read_from(lsn{next_.value}, [&](const storage::log_record& record) {
      logged = schemas::decode_sample_batch(record.payload);
      return false;
    });
    if (!read) return read.error();
    if (!logged) return logged.error();
    next_ = batch_number{next_.value + 1};
    return pumped{std::make_shared<const schemas::sample_batch>(std::move(*logged)), 0, false};
  }
  if (last_sealed_) return pumped{nullptr, 0, true};
  if (!unsealed_) {
    auto due = read_due();
    if (!due) return due.error();
    if (!*due) return pumped{nullptr, due_ns(), source_ended_ || stopping_};
    unsealed_ = std::move(**due);
  }
  auto sealed = seal(*unsealed_);
  if (!sealed) return sealed.error();
  unsealed_.reset();
  next_ = batch_number{next_.value + 1};
  return pumped{std::move(*sealed), 0, false};
}

// Reads events until a batch is full, one that waits is due, or the next event is not due yet.
result<std::optional<schemas::sample_batch>> sealed_stream::read_due() {
  while (!source_ended_ && !stopping_) {
    const std::uint64_t now = time_.steady_ns();
    if (parts_.builder.due(now)) break;
    if (!event_waits_) {
      auto more = parts_.source->next(event_);
      if (!more) return more.error();
      if (!*more) {
        source_ended_ = true;
        break;
      }
      event_waits_ = true;
    }
    if (due_ns() > now) return std::optional<schemas::sample_batch>{};
    event_waits_ = false;
    auto full = parts_.builder.add(event_, parts_.source->position(), now, time_.now_ms());
    if (full) return full;
  }
  return parts_.builder.flush();
}

// When to look again: the waiting event's due time or the held batch's, whichever is first.
std::uint64_t sealed_stream::due_ns() const {
  std::uint64_t at = 0;
  if (event_waits_ && parts_.pace) {
    at = started_ns_ + parts_.pace->due_ns(parts_.source->position() - 1 - first_position_);
  }
  const auto held = parts_.builder.due_at_ns();
  if (held && (at == 0 || *held < at)) return *held;
  return at;
}

result<sample_batch_ptr> sealed_stream::seal(schemas::sample_batch batch) {
  batch.batch = batch_number{sealed_.value + 1};
  batch.prev = sealed_;
  batch.last = source_ended_ && !event_waits_ && parts_.builder.empty();
  auto kept = std::make_shared<const schemas::sample_batch>(std::move(batch));
  storage::log_record record;
  record.lsn = lsn{kept->batch.value};
  record.kind = storage::record_kind::sample;
  record.stamp_ms = time_.now_ms();
  record.schema_version = kept->schema_version;
  record.payload = schemas::encode(*kept);
  std::promise<storage::append_outcome> settled;
  parts_.log->append(std::span(&record, 1), lsn{sealed_.value}, [&](const storage::append_outcome& outcome) {
    settled.set_value(outcome);
  });
  const auto outcome = settled.get_future().get();
  if (outcome.state != storage::append_state::committed) {
    const errc code = outcome.state == storage::append_state::refused ? errc::disk_full : errc::io_error;
    return error{code, "sample log: " + outcome.detail};
  }
  sealed_ = kept->batch;
  last_sealed_ = kept->last;
  return kept;
}

void sealed_stream::finish_early() { stopping_ = true; }

result<void> sealed_stream::release(batch_number through) {
  return parts_.log->truncate_before(lsn{through.value});
}

result<void> sealed_stream::close() { return parts_.log->close(); }

}  // namespace headrace::worker
