#include "actors/samples_actor.hpp"

#include "actors/errors.hpp"
#include "base/log.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::uint64_t refused_retry_ns = 500'000'000;
constexpr std::uint64_t early_ns = 1'000'000;  // that a timer may be before the clock
constexpr std::uint64_t wait_ms_max = 10'000;  // whatever a request says
constexpr std::size_t waiting_max = 64;
constexpr int batches_per_turn = 64;  // then other messages get their turn

worker::sample_shelf shelf_over(worker::sealed_stream& stream, worker::sample_shelf::settings how) {
  return {std::move(how),
          {[&stream] { return stream.oldest(); },
           [&stream](batch_number from, const storage::ordered_log::visitor& visit) {
             return stream.read(from, visit);
           }},
          stream.sealed()};
}

}  // namespace

samples_actor::samples_actor(caf::actor_config& config,
                             std::unique_ptr<worker::sealed_stream> stream,
                             worker::sample_shelf::settings how,
                             const headrace::clock& time,
                             std::shared_ptr<progress_board> board,
                             std::shared_ptr<samples_progress> progress)
    : samples_handle::base(config),
      stream_(std::move(stream)),
      time_(time),
      board_(std::move(board)),
      progress_(std::move(progress)),
      shelf_(shelf_over(*stream_, std::move(how))) {}

samples_actor::behavior_type samples_actor::make_behavior() {
  set_exception_handler([this](std::exception_ptr& thrown) {
    const error why = from_exception(thrown);
    board_->end(why);
    return to_caf(why);
  });
  stream_->on_more([told = told_, self = caf::actor_cast<samples_handle>(this)] {
    if (!told->exchange(true, std::memory_order_relaxed)) caf::anon_send(self, arrived_atom_v);
  });
  if (stream_->finished()) shelf_.end();
  publish();
  wake_at(0);
  return {
      [this](serve_atom, const section_job_ptr& job) { serve(job); },
      [this](tick_atom) {
        if (time_.steady_ns() + early_ns < wake_ns_) return;
        wake_ns_ = worker::batch_stream::never;
        seal();
      },
      [this](arrived_atom) {
        told_->store(false, std::memory_order_relaxed);
        seal();
      },
      [this](stop_atom) {
        stopping_ = true;
        stream_->finish_early();
        seal();
      },
  };
}

// However it ends: what wakes it holds it.
void samples_actor::on_exit() {
  stream_->on_more(nullptr);
  waiting_.clear();
  if (auto closed = stream_->close(); !closed)
    log_warn("samples.not_closed", {{"error", describe(closed.error())}});
}

void samples_actor::serve(const section_job_ptr& job) {
  const auto asks = schemas::decode_samples_request(job->section);
  if (!asks) return job->answer(schemas::encode(worker::sample_shelf::refusal(asks.error())));
  // A peer that asks again has given up what it asked before.
  std::erase_if(waiting_, [&](const waiting& one) {
    return std::ranges::equal(one.job->ticket.peer.bytes(), job->ticket.peer.bytes());
  });
  const bool waited = asks->wait_ms == 0 || stopping_;
  if (!answer(*job, *asks, waited)) {
    if (waiting_.size() == waiting_max) {
      answer(*waiting_.front().job, waiting_.front().asks, true);
      waiting_.pop_front();
    }
    const std::uint64_t wait_ms = std::min<std::uint64_t>(asks->wait_ms, wait_ms_max);
    waiting_.push_back({job, *asks, time_.steady_ns() + wait_ms * 1'000'000});
  }
  seal();  // what was learned may have made room
}

// False: it waits for a batch.
bool samples_actor::answer(const section_job& job,
                           const schemas::samples_request& asks,
                           bool waited) {
  const auto reply = shelf_.answer(asks, waited);
  if (!reply || reply->status == errc::ok) {
    const auto before = progress_->heard_ns.exchange(time_.steady_ns(), std::memory_order_relaxed);
    if (before == 0)
      log_info("samples.asked", {{"from", asks.from.value}, {"newest", shelf_.newest().value}});
  }
  if (reply && reply->status != errc::ok) log_warn("samples.refused", {{"reason", reply->detail}});
  if (reply) job.answer(schemas::encode(*reply));
  publish();
  return reply.has_value();
}

void samples_actor::answer_waiting() {
  const std::uint64_t now = time_.steady_ns();
  std::uint64_t next = worker::batch_stream::never;
  for (std::size_t left = waiting_.size(); left > 0; --left) {
    waiting one = std::move(waiting_.front());
    waiting_.pop_front();
    if (answer(*one.job, one.asks, stopping_ || now >= one.until_ns)) continue;
    next = std::min(next, one.until_ns);
    waiting_.push_back(std::move(one));
  }
  wake_at(next);
}

void samples_actor::seal() {
  if (!failed_) seal_some();
  publish();
  answer_waiting();
}

void samples_actor::seal_some() {
  // Each offer to a broker that is away may take seconds: requests for what is there come between.
  if (paused_ && time_.steady_ns() + early_ns < retry_ns_) return wake_at(retry_ns_);
  // A batch that was refused for a time is offered again, room or not.
  for (int turn = 0; stopping_ || paused_ || shelf_.has_room(); ++turn) {
    if (turn == batches_per_turn) return wake_at(0);
    auto pumped = stream_->next();
    if (!pumped) {
      if (worker::batch_stream::is_passing(pumped.error().code)) {
        if (!std::exchange(paused_, true))
          log_warn("ingest.paused", {{"error", describe(pumped.error())}});
        retry_ns_ = time_.steady_ns() + refused_retry_ns;
        return wake_at(retry_ns_);
      }
      failed_ = true;
      return board_->end(pumped.error());
    }
    if (std::exchange(paused_, false)) log_info("ingest.goes_on");
    if (pumped->batch) {
      shelf_.put(pumped->bytes);
      samples_ += pumped->batch->fresh();
      history_ += pumped->batch->history;
      if (pumped->batch->last) shelf_.end();
      continue;
    }
    if (pumped->finished) {
      if (!stopping_) shelf_.end();
      progress_->sealed_all.store(stopping_, std::memory_order_release);
      return;
    }
    return wake_at(pumped->wake_ns);
  }
}

void samples_actor::wake_at(std::uint64_t steady_ns) {
  if (steady_ns >= wake_ns_) return;
  wake_ns_ = steady_ns;
  const std::uint64_t now = time_.steady_ns();
  delayed_send(this, std::chrono::nanoseconds(steady_ns > now ? steady_ns - now : 0), tick_atom_v);
}

void samples_actor::publish() {
  shelf_.refused(stream_->refused());
  progress_->newest.store(shelf_.newest().value, std::memory_order_relaxed);
  progress_->learned.store(shelf_.learned().value, std::memory_order_relaxed);
  progress_->covered.store(shelf_.covered().value, std::memory_order_relaxed);
  board_->update([this](progress& p) {
    p.samples = samples_;
    p.history = history_;
  });
}

}  // namespace headrace::actors
