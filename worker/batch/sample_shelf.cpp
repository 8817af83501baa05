#include "worker/batch/sample_shelf.hpp"

#include "schemas/hash.hpp"
#include "schemas/wire.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

std::string number(batch_number batch) { return std::to_string(batch.value); }

// Whether one more is within the bounds of a reply, of which the first is whatever it takes.
bool fits(const schemas::samples_reply& into,
          std::size_t bytes,
          std::size_t more,
          std::size_t bytes_max) {
  if (into.batches.empty()) return true;
  return into.batches.size() < schemas::reply_batches_max && bytes + more <= bytes_max;
}

result<void> check_size(const frame& bytes, batch_number batch) {
  if (bytes.size() + schemas::reply_overhead_max <= schemas::frame_bytes_max) return {};
  return error{errc::too_large,
               "batch " + number(batch) + " has " + std::to_string(bytes.size()) +
                   " bytes, more than a message holds; a job with a smaller train.batch_max in a "
                   "new state folder"};
}

}  // namespace

sample_shelf::sample_shelf(settings how, kept_log log, batch_number newest)
    : how_(std::move(how)), log_(std::move(log)), newest_(newest), given_(newest) {}

void sample_shelf::put(const frame& bytes) {
  newest_ = batch_number{newest_.value + 1};
  held_.push_back({schemas::hash64(bytes.bytes()), bytes});
  held_bytes_ += bytes.size();
  while (held_.size() > 1 && held_bytes_ > how_.memory_bytes) {
    held_bytes_ -= held_.front().bytes.size();
    held_.pop_front();
  }
  ahead_.push_back({newest_, bytes.size()});
  ahead_bytes_ += bytes.size();
}

std::optional<schemas::samples_reply> sample_shelf::answer(const schemas::samples_request& request,
                                                           bool waited) {
  if (const auto why = unfit(request)) return refusal(*why);
  if (const auto fits = follows(request); !fits) return refusal(fits.error());
  note(request);
  const bool has_more = request.from <= newest_;
  const bool tells_only = request.bytes_max == 0;
  if (!has_more && !ended_ && !waited && !tells_only) return std::nullopt;
  schemas::samples_reply reply = about(request);
  if (!has_more || tells_only) return reply;
  const std::size_t bytes_max = std::min<std::size_t>(request.bytes_max, how_.reply_bytes_max);
  if (auto gathered = gather(request.from, bytes_max, reply); !gathered)
    return refusal(gathered.error());
  return reply;
}

schemas::samples_reply sample_shelf::refusal(const error& why) {
  schemas::samples_reply reply;
  reply.status = why.code;
  reply.detail = why.detail;
  return reply;
}

std::optional<error> sample_shelf::unfit(const schemas::samples_request& request) const {
  if (request.source != how_.source) {
    return error{errc::wrong_job,
                 "samples of '" + schemas::to_string(how_.source) + "' are sealed here, of '" +
                     schemas::to_string(request.source) +
                     "' were asked for: give both the same job file"};
  }
  if (request.job_fingerprint != how_.job_fingerprint) {
    return error{errc::wrong_job,
                 "ingest and worker were given different job files (name, tables or shards "
                 "differ)"};
  }
  if (request.made_by != how_.made_by) {
    return error{errc::wrong_job,
                 "the samples here are made of other features, labels, texts or history or another "
                 "join than the worker's job has: give both the same job file"};
  }
  if (request.stream != 0 && request.stream != how_.stream) {
    return error{errc::corrupt,
                 "this is another sample log than the one the worker has learned from; give ingest "
                 "the state folder that it had, or worker and server new ones"};
  }
  // What lies behind was sealed just now, perhaps with numbers that the shards know of others.
  if (request.from.value > given_.value + 1) {
    return error{errc::corrupt,
                 "the sample log ended at batch " + number(given_) + " but the shards have batch " +
                     std::to_string(request.from.value - 1) +
                     ": this is not the state folder that they were trained from"};
  }
  if (request.from <= newest_ && request.from < log_.oldest()) {
    return error{errc::corrupt,
                 "the sample log begins at batch " + number(log_.oldest()) + " but batch " +
                     number(request.from) + " is needed; restore the state folder from a copy"};
  }
  return std::nullopt;
}

// A log that lost its end, and was sealed anew behind what is left, has other batches of the same
// numbers.
result<void> sample_shelf::follows(const schemas::samples_request& request) {
  const batch_number before{request.from.value - 1};
  if (request.last_hash == 0 || before < log_.oldest()) return {};
  const std::uint64_t first_held = newest_.value + 1 - held_.size();
  const bool is_held = before.value >= first_held;
  if (!is_held && before != read_) {
    read_hash_ = 0;
    auto read = log_.read(before, [&](const storage::log_record& record) {
      if (record.lsn.value == before.value) read_hash_ = schemas::hash64(record.payload.bytes());
      return false;
    });
    read_ = read ? before : batch_number{};
    if (!read) return read;
  }
  const std::uint64_t hash = is_held ? held_[before.value - first_held].hash : read_hash_;
  if (hash == request.last_hash) return {};
  return error{errc::corrupt,
               "batch " + number(before) +
                   " here is not the one that the worker has: the sample log lost its end and was "
                   "written anew; take a state folder of server and worker from before"};
}

void sample_shelf::note(const schemas::samples_request& request) {
  learned_ = std::min(request.learned, newest_);
  covered_ = std::min(request.covered, learned_);
  while (!ahead_.empty() && ahead_.front().batch <= learned_) {
    ahead_bytes_ -= ahead_.front().bytes;
    ahead_.pop_front();
  }
}

schemas::samples_reply sample_shelf::about(const schemas::samples_request& request) const {
  schemas::samples_reply reply;
  reply.stream = how_.stream;
  reply.from = request.from;
  reply.newest = newest_;
  reply.records = how_.records;
  reply.live = how_.live;
  reply.ended = ended_;
  reply.bad_rows = refused_.total;
  reply.first_bad_row = refused_.first;
  reply.bad_row_reasons = refused_.reasons;
  return reply;
}

result<void> sample_shelf::gather(batch_number from,
                                  std::size_t bytes_max,
                                  schemas::samples_reply& into) {
  const std::uint64_t first_held = newest_.value + 1 - held_.size();
  if (from.value < first_held) return gather_logged(from, bytes_max, into);
  std::size_t bytes = 0;
  for (std::size_t at = from.value - first_held; at < held_.size(); ++at) {
    const schemas::sealed_bytes& batch = held_[at];
    if (!fits(into, bytes, batch.bytes.size(), bytes_max)) return {};
    if (auto sized = check_size(batch.bytes, batch_number{first_held + at}); !sized) return sized;
    bytes += batch.bytes.size();
    into.batches.push_back(batch);
    given_ = std::max(given_, batch_number{first_held + at});
  }
  return {};
}

result<void> sample_shelf::gather_logged(batch_number from,
                                         std::size_t bytes_max,
                                         schemas::samples_reply& into) {
  std::size_t bytes = 0;
  std::uint64_t next = from.value;
  result<void> sized;
  auto read = log_.read(from, [&](const storage::log_record& record) {
    if (record.lsn.value != next || !fits(into, bytes, record.payload.size(), bytes_max))
      return false;
    sized = check_size(record.payload, batch_number{next});
    if (!sized) return false;
    bytes += record.payload.size();
    read_ = batch_number{next};
    read_hash_ = schemas::hash64(record.payload.bytes());
    into.batches.push_back({read_hash_, record.payload});
    given_ = std::max(given_, batch_number{next});
    return next++ < newest_.value;
  });
  if (!into.batches.empty()) return {};  // what is wrong behind them is told when it is asked for
  if (!sized) return sized;
  if (!read) return read;
  return error{
      errc::corrupt,
      "sample log has no batch " + number(from) + "; restore the state folder from a copy"};
}

}  // namespace headrace::worker
