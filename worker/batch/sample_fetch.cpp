#include "worker/batch/sample_fetch.hpp"

#include "schemas/hash.hpp"
#include "schemas/sample.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;

// Whether asking again may be answered otherwise.
bool may_pass(errc code) {
  return is_transient(code) || code == errc::io_error || code == errc::disk_full;
}

}  // namespace

sample_fetch::sample_fetch(settings how, batch_number first)
    : how_(std::move(how)), next_(first), learned_{first.value - 1}, stream_(how_.about.stream) {}

bool sample_fetch::wants_more() const {
  if (last_ && next_ > *last_) return false;
  if (stopping_ && !trouble_.empty()) return false;
  return held_bytes_ <= how_.held_bytes_max / 2;
}

std::optional<sample_fetch::request> sample_fetch::due(std::uint64_t now_ns, batch_number covered) {
  if (awaiting_ && now_ns >= act_ns_) {
    awaiting_ = false;
    pause("nobody answers; is 'headrace ingest' running there?", now_ns);
  }
  const bool tells_only = !wants_more();
  if (awaiting_ || now_ns < act_ns_) return std::nullopt;
  if (tells_only && now_ns < told_ns_ + how_.tell_ms * ns_per_ms) return std::nullopt;
  request made{++last_id_, how_.about};
  made.asks.stream = stream_;
  made.asks.from = next_;
  made.asks.learned = learned_;
  made.asks.covered = covered;
  made.asks.last_hash = last_hash_;
  if (stopping_ || tells_only || !greeted_) made.asks.wait_ms = 0;
  if (tells_only) made.asks.bytes_max = 0;
  awaiting_ = true;
  told_ns_ = now_ns;
  act_ns_ = now_ns + (made.asks.wait_ms + how_.patience_ms) * ns_per_ms;
  return made;
}

std::uint64_t sample_fetch::wake_ns() const {
  if (awaiting_ || wants_more()) return act_ns_;
  return std::max(act_ns_, told_ns_ + how_.tell_ms * ns_per_ms);
}

result<void> sample_fetch::take(std::uint64_t id, const frame& bytes, std::uint64_t now_ns) {
  if (!awaiting_ || id != last_id_) return {};
  awaiting_ = false;
  const auto reply = schemas::decode_samples_reply(bytes);
  if (!reply && reply.error().code == errc::bad_protocol) return reply.error();
  if (!reply) {
    pause("an answer could not be read: " + reply.error().detail, now_ns);
    return {};
  }
  if (reply->status != errc::ok && !may_pass(reply->status))
    return error{reply->status, reply->detail};
  if (reply->status != errc::ok) {
    pause(describe({reply->status, reply->detail}), now_ns);
    return {};
  }
  return accept(*reply, now_ns);
}

result<void> sample_fetch::accept(const schemas::samples_reply& reply, std::uint64_t now_ns) {
  if (reply.stream == 0 || (stream_ != 0 && reply.stream != stream_)) {
    return error{errc::corrupt,
                 "the samples come of another sample log than those before; give ingest the state "
                 "folder that it had"};
  }
  greeted_ = true;
  stream_ = reply.stream;
  records_ = reply.records;
  live_ = reply.live;
  refused_ = {reply.bad_rows, reply.first_bad_row, reply.bad_row_reasons};
  if (reply.ended || (stopping_ && !last_)) last_ = reply.newest;
  trouble_.clear();
  pause_ms_ = 0;
  act_ns_ = reply.batches.empty() ? now_ns + how_.idle_pause_ms * ns_per_ms : now_ns;
  return add(reply, now_ns);
}

// What is good of it up to the first damage, which is asked for again.
result<void> sample_fetch::add(const schemas::samples_reply& reply, std::uint64_t now_ns) {
  if (!reply.batches.empty() && reply.from != next_) {
    pause("batches came that were not asked for", now_ns);
    return {};
  }
  for (const schemas::sealed_bytes& one : reply.batches) {
    if (schemas::hash64(one.bytes.bytes()) != one.hash) {
      pause("batch " + std::to_string(next_.value) + " came damaged", now_ns);
      return {};
    }
    auto batch = schemas::decode_sample_batch(one.bytes);
    if (!batch) return error{batch.error().code, "sealed batch: " + batch.error().detail};
    if (batch->batch != next_ || batch->source != how_.about.source) {
      return error{errc::corrupt,
                   "batch " + std::to_string(batch->batch.value) + " of '" +
                       schemas::to_string(batch->source) + "' came for batch " +
                       std::to_string(next_.value)};
    }
    if (batch->last) last_ = next_;
    held_bytes_ += one.bytes.size();
    held_.push_back(
        {std::make_shared<const schemas::sample_batch>(std::move(*batch)), one.bytes.size()});
    next_ = batch_number{next_.value + 1};
    last_hash_ = one.hash;
  }
  return {};
}

sample_batch_ptr sample_fetch::pop() {
  if (held_.empty()) return nullptr;
  sample_batch_ptr batch = std::move(held_.front().batch);
  held_bytes_ -= held_.front().bytes;
  held_.pop_front();
  return batch;
}

bool sample_fetch::finished() const {
  if (!held_.empty()) return false;
  if (last_ && next_ > *last_) return true;
  return stopping_ && !trouble_.empty();
}

void sample_fetch::pause(std::string why, std::uint64_t now_ns) {
  pause_ms_ = std::clamp(pause_ms_ * 2, how_.pause_ms_least, how_.pause_ms_max);
  act_ns_ = now_ns + pause_ms_ * ns_per_ms;
  trouble_ = std::move(why);
}

}  // namespace headrace::worker
