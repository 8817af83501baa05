#include "actors/worker_actor.hpp"

#include "actors/errors.hpp"
#include "base/log.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::chrono::milliseconds tick_interval{100};
constexpr std::size_t frozen_chunk_rows = 16'384;

}  // namespace

worker_actor::worker_actor(caf::actor_config& config, worker_parts parts)
    : worker_handle::base(config), parts_(std::move(parts)) {}

worker_actor::behavior_type worker_actor::make_behavior() {
  set_exception_handler([this](std::exception_ptr& thrown) {
    const error why = from_exception(thrown);
    parts_.board->end(why);
    return to_caf(why);
  });
  permitted_through_ = parts_.lanes->completed_through();
  kept_ns_ = parts_.time->steady_ns();
  auto connected =
      parts_.connect([me = worker_handle(this)](const schemas::envelope& head, frame section) {
        caf::anon_send(
            me,
            answer_atom_v,
            std::make_shared<const answered_section>(answered_section{head, std::move(section)}));
      });
  if (connected) {
    path_ = std::move(*connected);
    delayed_send(this, tick_interval, tick_atom_v);
  } else {
    fail(connected.error());
  }
  return {
      [this](sealed_atom, const sample_batch_ptr& batch) { take(batch); },
      [this](answer_atom, const answer_ptr& got) { answer(*got); },
      [this](tick_atom) { tick(); },
      [this](stop_atom) { drain(); },
  };
}

// The path's receiver holds a handle of this actor: let go of it, or neither is ever freed.
void worker_actor::on_exit() {
  if (!finished_) keep_figures();
  path_.reset();
  parts_.connect = nullptr;
  ingest_ = ingest_handle{};
}

void worker_actor::take(const sample_batch_ptr& batch) {
  if (!ingest_) ingest_ = caf::actor_cast<ingest_handle>(current_sender());
  if (const auto fits = parts_.trainer->check(*batch); !fits) return fail(fits.error());
  queue_.push_back(batch);
  draining_ = draining_ || batch->last;
  pump();
}

void worker_actor::drain() {
  draining_ = true;
  pump();
}

// Starts as many batches as the window permits; stands still while the twin's rows are pulled.
void worker_actor::pump() {
  while (!freezing_ && !queue_.empty() && steps_.size() < parts_.in_flight_max &&
         parts_.lanes->may_start()) {
    if (freeze_is_due(*queue_.front())) {
      if (steps_.empty() && parts_.lanes->idle()) freeze();
      return;
    }
    sample_batch_ptr batch = std::move(queue_.front());
    queue_.pop_front();
    start(std::move(batch));
  }
  finish_if_drained();
}

bool worker_actor::freeze_is_due(const schemas::sample_batch& batch) const {
  return !parts_.trainer->twin().frozen() && batch.samples > 0 &&
         batch.row_numbers.front() >= parts_.freeze_row;
}

void worker_actor::start(sample_batch_ptr batch) {
  parts_.lanes->start(batch->batch, batch->last);
  steps_.push_back({parts_.trainer->begin(std::move(batch)), 0, parts_.time->steady_ns()});
  ask_for_rows(steps_.back());
  learn_in_order();  // a batch without keys is complete at once
}

void worker_actor::ask_for_rows(pulling& step) {
  step.sent_ns = parts_.time->steady_ns();
  step.request_id = send_pull(step.step->plan, step.step->sets);
}

// One request with a section for each shard that the plan touches; returns its id.
std::uint64_t worker_actor::send_pull(const worker::pull_plan& plan,
                                      std::span<const worker::row_set> sets) {
  schemas::envelope head;
  head.kind = schemas::message_kind::pull;
  head.sender = parts_.name;
  head.request_id = next_request_++;
  std::vector<frame> sections;
  for (std::uint32_t s = 0; s < parts_.shards; ++s) {
    frame section = plan.section(shard_id{s}, sets, parts_.trainer->schema_version());
    if (section.empty()) continue;
    head.sections.push_back({shard_id{s}});
    sections.push_back(std::move(section));
  }
  if (!sections.empty()) path_->send(head, std::move(sections));
  return head.request_id;
}

void worker_actor::answer(const answered_section& got) {
  using schemas::message_kind;
  if (finished_) return;
  if (got.head.kind == message_kind::push) return accept_ack(got.section);
  if (got.head.kind != message_kind::pull) return;
  if (freezing_ && got.head.request_id == frozen_request_) return accept_frozen_rows(got.section);
  accept_rows(got.head, got.section);
}

void worker_actor::accept_rows(const schemas::envelope& head, const frame& section) {
  const auto waiting = std::find_if(steps_.begin(), steps_.end(), [&](const pulling& step) {
    return step.request_id == head.request_id;
  });
  if (waiting == steps_.end()) return;  // asked twice, answered twice
  const auto reply = schemas::decode_pull_reply(section);
  if (!reply) return fail(reply.error());
  if (is_transient(reply->status)) return;  // the tick asks again
  if (reply->status != errc::ok)
    return fail({reply->status, "pull refused by shard: " + reply->detail});
  const bool had_all = waiting->step->plan.complete();
  if (auto accepted = parts_.trainer->accept(*waiting->step, *reply); !accepted)
    return fail(accepted.error());
  if (parts_.durations && !had_all && waiting->step->plan.complete())
    parts_.durations->pull.observe(seconds_since(waiting->begun_ns));
  learn_in_order();
}

// Batches learn in log order whatever order their rows came in.
void worker_actor::learn_in_order() {
  while (!steps_.empty() && steps_.front().step->plan.complete()) {
    std::unique_ptr<worker::training_step> step = std::move(steps_.front().step);
    steps_.pop_front();
    const std::uint64_t begun_ns = parts_.time->steady_ns();
    parts_.trainer->learn(*step, !parts_.lanes->dense_has(step->batch->batch));
    if (parts_.durations) parts_.durations->learn.observe(seconds_since(begun_ns));
    if (!step->finite) log_warn("worker.step_not_finite", {{"batch", step->batch->batch.value}});
    score(*step);
    push(*step);
    parts_.trainer->recycle(std::move(step));
  }
}

void worker_actor::score(const worker::training_step& step) {
  if (parts_.book->add(*step.batch, step.online, step.frozen) && parts_.predictions)
    keep_predictions(step);
}

void worker_actor::keep_predictions(const worker::training_step& step) {
  const auto& batch = *step.batch;
  const auto heads = parts_.book->heads();
  const auto of_sample = [&](std::span<const float> all, std::uint32_t i) {
    return all.empty() ? all : all.subspan(i * heads.size(), heads.size());
  };
  std::vector<float> labels(heads.size());
  for (std::uint32_t i = 0; i < batch.fresh(); ++i) {
    for (std::size_t h = 0; h < heads.size(); ++h)
      labels[h] = batch.labels[i * batch.label_count + heads[h].label];
    parts_.predictions->add(
        batch.row_numbers[i], labels, of_sample(step.online, i), of_sample(step.frozen, i));
  }
}

void worker_actor::push(worker::training_step& step) {
  const batch_number batch = step.batch->batch;
  const std::uint64_t now = parts_.time->steady_ns();
  std::vector<frame> sections(parts_.shards);
  for (std::uint32_t s = 0; s < parts_.shards; ++s) {
    sections[s] = parts_.trainer->push_section(step, shard_id{s}, step.batch->prev);
    push_bytes_ += sections[s].size();
  }
  send_pushes(parts_.lanes->submit(batch, step.batch->prev, sections, now));
  if (parts_.lanes->dense_is_due(batch)) {
    sections = parts_.trainer->push_dense(step, parts_.lanes->dense_prev());
    for (const frame& section : sections) push_bytes_ += section.size();
    send_pushes(parts_.lanes->submit_dense(batch, sections, now));
  }
  if (parts_.durations) pushed_.push_back({batch, now});
  give_permits();
}

void worker_actor::send_pushes(const std::vector<worker::outgoing>& sections) {
  if (sections.empty()) return;
  schemas::envelope head;
  head.kind = schemas::message_kind::push;
  head.sender = parts_.name;
  head.request_id = next_request_++;
  std::vector<frame> frames;
  for (const auto& section : sections) {
    head.sections.push_back({section.shard});
    frames.push_back(section.bytes);
  }
  path_->send(head, std::move(frames));
}

void worker_actor::accept_ack(const frame& section) {
  const auto ack = schemas::decode_push_ack(section);
  if (!ack) return fail(ack.error());
  if (ack->status != errc::ok && !is_transient(ack->status) && !is_permanent(ack->status)) {
    return fail({ack->status,
                 "push refused by shard " + std::to_string(ack->shard.value) + ": " + ack->detail});
  }
  if (is_permanent(ack->status))
    log_warn("push.voided", {{"shard", ack->shard.value}, {"why", ack->detail}});
  send_pushes(parts_.lanes->on_ack(*ack, parts_.time->steady_ns()));
  if (const auto back = parts_.lanes->went_back()) {
    return fail({errc::corrupt,
                 "shard " + std::to_string(back->value) +
                     " lost pushes that it had acknowledged; start the worker again to go on from "
                     "what it has"});
  }
  give_permits();
  pump();
}

// One permit goes back to ingest for each batch that every shard has.
void worker_actor::give_permits() {
  const batch_number completed = parts_.lanes->completed_through();
  time_pushes(completed);
  const auto permits = static_cast<std::uint32_t>(completed.value - permitted_through_.value);
  if (permits == 0 || !ingest_) return;
  permitted_through_ = completed;
  send(ingest_, more_atom_v, permits);
}

void worker_actor::time_pushes(batch_number completed) {
  for (; !pushed_.empty() && pushed_.front().batch <= completed; pushed_.pop_front())
    parts_.durations->push.observe(seconds_since(pushed_.front().at_ns));
}

double worker_actor::seconds_since(std::uint64_t steady_ns) const {
  return static_cast<double>(parts_.time->steady_ns() - steady_ns) / 1e9;
}

void worker_actor::tick() {
  if (finished_) return;
  const std::uint64_t now = parts_.time->steady_ns();
  const std::uint64_t patience = parts_.deadline_ms * 1'000'000;
  for (auto& step : steps_) {
    if (now - step.sent_ns > patience) ask_for_rows(step);
  }
  if (freezing_ && now - frozen_sent_ns_ > patience) ask_for_frozen_rows();
  send_pushes(parts_.lanes->on_timeout(now));
  publish();
  if (now - kept_ns_ > parts_.keep_interval_ms * 1'000'000) keep_figures();
  if (finished_) return;
  pump();
  delayed_send(this, tick_interval, tick_atom_v);
}

void worker_actor::freeze() {
  frozen_chunks_ = parts_.trainer->twin().noted(frozen_chunk_rows);
  freezing_ = true;
  ask_for_frozen_rows();
}

// Pulls the last chunk in the list; an answered chunk is taken off it.
void worker_actor::ask_for_frozen_rows() {
  if (frozen_chunks_.empty()) {
    parts_.trainer->twin().freeze();
    freezing_ = false;
    if (parts_.keep_twin) {
      if (auto kept = parts_.keep_twin(parts_.trainer->twin()); !kept) return fail(kept.error());
    }
    log_debug("twin.frozen",
              {{"rows", parts_.trainer->twin().rows()}, {"at_sample", parts_.freeze_row}});
    return pump();
  }
  const std::span<worker::row_set> chunk(&frozen_chunks_.back(), 1);
  frozen_plan_.build(chunk, parts_.shards);
  frozen_sent_ns_ = parts_.time->steady_ns();
  frozen_request_ = send_pull(frozen_plan_, chunk);
}

void worker_actor::accept_frozen_rows(const frame& section) {
  const auto reply = schemas::decode_pull_reply(section);
  if (!reply) return fail(reply.error());
  if (is_transient(reply->status)) return;  // the tick asks again
  if (reply->status != errc::ok)
    return fail({reply->status, "pull refused by shard: " + reply->detail});
  const std::span<worker::row_set> chunk(&frozen_chunks_.back(), 1);
  if (auto accepted = frozen_plan_.scatter(*reply, chunk); !accepted) return fail(accepted.error());
  if (!frozen_plan_.complete()) return;
  parts_.trainer->twin().keep(frozen_chunks_.back());
  frozen_chunks_.pop_back();
  ask_for_frozen_rows();
}

void worker_actor::publish() {
  progress now;
  copy_figures(*parts_.book, now);
  parts_.board->update([&](progress& p) {
    now.history = p.history;  // ingest's, as what follows
    now.passes = p.passes;
    now.available_ms_p50 = p.available_ms_p50;
    now.available_ms_p99 = p.available_ms_p99;
    now.bad_rows = p.bad_rows;
    now.first_bad_row = std::move(p.first_bad_row);
    now.bad_row_reasons = std::move(p.bad_row_reasons);
    p = std::move(now);
    p.staleness = parts_.lanes->staleness();
    p.push_bytes = push_bytes_;
    p.resent = parts_.lanes->resent();
    p.refused = parts_.lanes->voided();
    p.rows_not_finite = parts_.trainer->rows_not_finite();
    const auto precision = parts_.trainer->precision_so_far();
    p.precision = worker::name(precision.wanted);
    p.steps_not_finite = precision.steps_not_finite;
    p.precision_checks = precision.checks;
    p.precision_promotions = precision.promotions;
    p.loss_scale = static_cast<double>(precision.scale);
    const auto& routed = parts_.trainer->routed_so_far();
    p.routed = routed.assigned;
    p.routed_dropped = routed.dropped;
    p.routed_room = routed.room;
  });
}

void worker_actor::keep_figures() {
  kept_ns_ = parts_.time->steady_ns();
  if (!parts_.keep_book) return;
  // A disk that is full now may have room at the next interval: what was learned is safe in the
  // log.
  if (auto kept = parts_.keep_book(*parts_.book); !kept) {
    log_warn("worker.figures_not_kept", {{"error", describe(kept.error())}});
  }
}

void worker_actor::finish_if_drained() {
  if (!draining_ || finished_ || freezing_ || !queue_.empty() || !steps_.empty()) return;
  if (!parts_.lanes->idle()) return;
  // Shards that had no keys lately are told how far the source is, then the window is empty for
  // good.
  const auto last = parts_.lanes->finish(parts_.time->steady_ns());
  if (!last.empty()) return send_pushes(last);
  if (!parts_.lanes->drained()) return;
  finished_ = true;
  publish();
  keep_figures();
  if (parts_.predictions) {
    if (auto closed = parts_.predictions->close(); !closed) parts_.board->end(closed.error());
  }
  path_->stop();
  parts_.board->end();
  quit();
}

void worker_actor::fail(error why) {
  log_error("worker.failed", {{"error", describe(why)}});
  finished_ = true;
  publish();
  keep_figures();
  if (path_) path_->stop();
  parts_.board->end(std::move(why));
  quit();
}

}  // namespace headrace::actors
