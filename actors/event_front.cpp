#include "actors/event_front.hpp"

#include "base/log.hpp"
#include "schemas/refusing.hpp"

#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace headrace::actors {
namespace {

void count_one(std::atomic<std::uint64_t>& counter) {
  counter.fetch_add(1, std::memory_order_relaxed);
}

// On any thread; what is thrown here would end it. Without an answer the producer asks again.
void tell(const section_job& job, const schemas::event_ack& ack) noexcept {
  try {
    job.answer(schemas::encode(ack));
  } catch (const std::exception& failure) {
    log_error("events.not_answered", {{"reason", failure.what()}});
  }
}

void refuse(const section_job& job, const error& why, std::uint32_t retry_after_ms) {
  const std::uint32_t retry = is_transient(why.code) ? retry_after_ms : 0;
  tell(job, schemas::refusing(why, retry));
}

}  // namespace

event_front::event_front(offer to, admit who, settings how)
    : offer_(std::move(to)), admit_(std::move(who)), how_(how) {}

void event_front::handle(section_job job) {
  if (job.kind != schemas::message_kind::events) return count_one(strangers_);
  const section_job back{job.kind, job.shard, frame{}, job.ticket, job.path};
  try {
    take(std::move(job));
  } catch (const std::exception& failure) {
    count_one(refused_);
    refuse(back,
           {errc::unavailable, std::string("the batch could not be handled: ") + failure.what()},
           how_.retry_after_ms);
  }
}

void event_front::take(section_job job) {
  auto push = schemas::decode_event_push(job.section);
  if (!push) {
    count_one(malformed_);
    return refuse(job, push.error(), 0);
  }
  auto allowed = admit_(push->token);
  if (allowed && push->batch.size() > how_.batch_bytes_max) {
    allowed = error{errc::too_large,
                    "batch of " + std::to_string(push->batch.size()) + " bytes; at most " +
                        std::to_string(how_.batch_bytes_max) + " are taken"};
  }
  if (!allowed) {
    count_one(refused_);
    return refuse(job, allowed.error(), how_.retry_after_ms);
  }
  count_one(pushes_);
  job.section = frame{};  // the batch keeps its memory
  auto room = std::move(job.room);
  auto answer = [job = std::move(job)](const schemas::event_ack& ack) { tell(job, ack); };
  offer_({std::move(push->batch), std::move(answer), std::move(room), std::move(push->token)});
}

event_front::counters event_front::count() const {
  return {pushes_.load(std::memory_order_relaxed),
          malformed_.load(std::memory_order_relaxed),
          refused_.load(std::memory_order_relaxed),
          strangers_.load(std::memory_order_relaxed)};
}

}  // namespace headrace::actors
