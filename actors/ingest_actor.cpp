#include "actors/ingest_actor.hpp"

#include "actors/errors.hpp"
#include "base/log.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::uint64_t disk_full_retry_ns = 500'000'000;
constexpr std::uint64_t early_ns = 1'000'000;  // that a timer may be before the clock
constexpr int batches_per_turn = 64;           // then other messages (stop) get their turn

}  // namespace

ingest_actor::ingest_actor(caf::actor_config& config,
                           std::unique_ptr<worker::batch_stream> stream,
                           worker_handle worker,
                           const headrace::clock& time,
                           std::shared_ptr<progress_board> board,
                           std::uint32_t permits)
    : ingest_handle::base(config),
      stream_(std::move(stream)),
      worker_(std::move(worker)),
      time_(time),
      board_(std::move(board)),
      permits_all_(permits),
      permits_(permits) {}

ingest_actor::behavior_type ingest_actor::make_behavior() {
  set_exception_handler([this](std::exception_ptr& thrown) {
    const error why = from_exception(thrown);
    board_->end(why);
    return to_caf(why);
  });
  listen();
  wake_at(0);
  return {
      [this](more_atom, std::uint32_t permits) {
        permits_ += permits;
        stream_->learned(permits);
        pump();
      },
      [this](tick_atom) {
        // One that was overtaken by an earlier one says nothing.
        if (time_.steady_ns() + early_ns < wake_ns_) return;
        wake_ns_ = worker::batch_stream::never;
        pump();
      },
      [this](arrived_atom) {
        told_->store(false, std::memory_order_relaxed);
        pump();
      },
      [this](go_on_atom) {
        stream_->go_on();
        pump();
      },
      [this](stop_atom) {
        stream_->finish_early();
        pump();
      },
  };
}

void ingest_actor::pump() {
  for (int turn = 0; permits_ > 0; ++turn) {
    if (turn == batches_per_turn) return wake_at(0);
    auto pumped = stream_->next();
    if (!pumped) {
      if (worker::batch_stream::is_passing(pumped.error().code)) {
        if (!std::exchange(paused_, true))
          log_warn("ingest.paused", {{"error", describe(pumped.error())}});
        return wake_at(time_.steady_ns() + disk_full_retry_ns);
      }
      return end(pumped.error());
    }
    if (std::exchange(paused_, false)) log_info("ingest.goes_on");
    if (pumped->batch) {
      --permits_;
      measure(*pumped->batch);
      if (pumped->batch->last) publish_bad_rows();  // before the worker can end the run
      send(worker_, sealed_atom_v, pumped->batch);
      if (pumped->batch->last) return end();
    } else if (pumped->finished) {
      publish_bad_rows();
      send(worker_, stop_atom_v);
      return end();
    } else if (pumped->halted) {
      return halt();
    } else {
      return wake_at(pumped->wake_ns);
    }
  }
}

void ingest_actor::measure(const schemas::sample_batch& batch) {
  history_ += batch.history;
  const std::uint64_t now_ms = time_.now_ms();
  if (stream_->live()) available_.add(now_ms > batch.accepted_ms ? now_ms - batch.accepted_ms : 0);
  board_->update([&](progress& p) {
    p.history = history_;
    p.available_ms_p50 = available_.quantile(0.5);
    p.available_ms_p99 = available_.quantile(0.99);
  });
}

// Every permit is back when every batch was acknowledged; until then each one that comes asks
// again.
void ingest_actor::halt() {
  if (permits_ < permits_all_) return;
  board_->update([&](progress& p) { p.passes = stream_->passes(); });
}

void ingest_actor::listen() {
  stream_->on_more([told = told_, self = caf::actor_cast<ingest_handle>(this)] {
    if (!told->exchange(true, std::memory_order_relaxed)) caf::anon_send(self, arrived_atom_v);
  });
}

// However it ends: what wakes it holds it.
void ingest_actor::on_exit() { stream_->on_more(nullptr); }

void ingest_actor::wake_at(std::uint64_t steady_ns) {
  if (steady_ns >= wake_ns_) return;
  wake_ns_ = steady_ns;
  const std::uint64_t now = time_.steady_ns();
  delayed_send(this, std::chrono::nanoseconds(steady_ns > now ? steady_ns - now : 0), tick_atom_v);
}

void ingest_actor::publish_bad_rows() {
  auto bad = stream_->refused();
  board_->update([&](progress& p) {
    p.bad_rows = bad.total;
    p.first_bad_row = std::move(bad.first);
    p.bad_row_reasons = std::move(bad.reasons);
  });
}

void ingest_actor::end(std::optional<error> failure) {
  publish_bad_rows();
  if (auto closed = stream_->close(); !closed && !failure) failure = closed.error();
  if (failure) board_->end(std::move(failure));
  quit();
}

}  // namespace headrace::actors
