#include "tests/simulation/simulated_worker.hpp"

#include "base/check.hpp"
#include "tests/simulation/wrong_worker.hpp"

#include <algorithm>
#include <utility>

namespace headrace::simulation {

simulated_worker::simulated_worker(
    scene& stage, simulated_server& server, variant kind, std::uint32_t source, std::uint64_t id)
    : stage_(stage),
      server_(server),
      kind_(kind),
      source_(source),
      id_(id),
      watermarks_(stage.p.shards) {}

void simulated_worker::start() { tick(); }

void simulated_worker::pause(std::uint64_t us) { awake_us_ = stage_.events.now_us() + us; }

void simulated_worker::when_awake(event_queue::action act) {
  if (!alive_) return;
  if (stage_.events.now_us() >= awake_us_) return act();
  stage_.events.at(awake_us_,
                   [self = shared_from_this(), act = std::move(act)] { self->when_awake(act); });
}

void simulated_worker::tick() {
  if (!alive_ || drained()) return;
  if (window_) {
    send(window_->on_timeout(stage_.events.steady_ns()));
    pump();
  } else {
    ask_for_watermarks();
  }
  stage_.events.after(stage_.p.tick_ms * 1'000,
                      [self = shared_from_this()] { self->when_awake([self] { self->tick(); }); });
}

void simulated_worker::ask_for_watermarks() {
  for (std::uint32_t s = 0; s < watermarks_.size(); ++s) {
    if (watermarks_[s]) continue;
    const shard_id shard{s};
    stage_.send(link(shard, false), [self = shared_from_this(), shard] {
      self->server_.watermark(shard, self->source_, [self, shard](batch_number told) {
        self->stage_.send(self->link(shard, true), [self, shard, told] {
          self->when_awake([self, shard, told] { self->take_watermark(shard, told); });
        });
      });
    });
  }
}

void simulated_worker::take_watermark(shard_id shard, batch_number watermark) {
  if (window_) return;
  watermarks_[shard.value] = watermark;
  std::vector<batch_number> all;
  for (const auto& one : watermarks_) {
    if (!one) return;
    all.push_back(*one);
  }
  if (kind_ == variant::resumes_from_maximum)
    all.assign(all.size(), *std::max_element(all.begin(), all.end()));
  worker::window_spec spec;
  spec.source = stage_.sealed.source(source_);
  spec.in_flight_max = stage_.p.in_flight_max;
  spec.staleness_bound = stage_.p.staleness_bound;
  spec.timeout_ms = stage_.p.timeout_ms;
  // Workers of one source need not agree on it: then one's advance ends in the middle of the
  // other's.
  spec.advance_after =
      static_cast<std::uint32_t>(stage_.chance.between(1, stage_.p.advance_after_max));
  next_ = std::min_element(all.begin(), all.end())->value + 1;
  window_.emplace(spec, std::move(all));
  pump();
}

void simulated_worker::pump() {
  if (!alive_ || !window_ || stage_.events.now_us() < awake_us_) return;
  while (next_ <= stage_.sealed_through[source_] && window_->may_start()) {
    const batch_number batch{next_++};
    window_->start(batch);
    learning_.push_back({batch});
    stage_.events.after(stage_.chance.between(1, stage_.p.learn_us_max),
                        [self = shared_from_this(), batch] {
                          self->when_awake([self, batch] { self->learned(batch); });
                        });
  }
  if (next_ > stage_.p.batches && learning_.empty() && window_->idle()) {
    send(window_->finish(stage_.events.steady_ns()));
  }
}

// Gradients are pushed in log order whatever order they came in.
void simulated_worker::learned(batch_number batch) {
  for (learning& one : learning_) one.ready = one.ready || one.batch == batch;
  while (!learning_.empty() && learning_.front().ready) {
    const batch_number next = learning_.front().batch;
    learning_.pop_front();
    submit(next);
  }
  pump();
}

frame simulated_worker::section_of(batch_number batch, shard_id shard) {
  const frame& sealed = stage_.sealed.at(source_, batch, shard).frame;
  if (sealed.empty()) return sealed;
  const bool successor = id_ >= stage_.p.sources;
  if (kind_ == variant::unsealed_batch && successor) return with_other_contents(sealed);
  if (kind_ != variant::two_sections_of_a_batch) return sealed;
  auto [first, second] = in_two_sections(sealed);
  send({{shard, std::move(second)}});
  return std::move(first);
}

void simulated_worker::submit(batch_number batch) {
  std::vector<frame> sections;
  for (std::uint32_t s = 0; s < stage_.p.shards; ++s)
    sections.push_back(section_of(batch, shard_id{s}));
  send(window_->submit(batch, batch_number{batch.value - 1}, sections, stage_.events.steady_ns()));
}

void simulated_worker::send(const std::vector<worker::outgoing>& sections) {
  for (const auto& one : sections) {
    stage_.send(link(one.shard, false), [self = shared_from_this(), one] {
      self->server_.push(one.shard, self->source_, one.bytes, [self, shard = one.shard](frame ack) {
        self->stage_.send(self->link(shard, true), [self, ack = std::move(ack)] {
          self->when_awake([self, ack] { self->take_ack(ack); });
        });
      });
    });
  }
}

void simulated_worker::take_ack(const frame& bytes) {
  const auto ack = schemas::decode_push_ack(bytes);
  CHECK(ack.ok());
  if (ack->status != errc::ok && !is_transient(ack->status) && !is_permanent(ack->status)) {
    return stage_.fail("a push was refused as " + describe({ack->status, ack->detail}));
  }
  const std::uint64_t before = window_->completed_through().value;
  send(window_->on_ack(*ack, stage_.events.steady_ns()));
  for (std::uint64_t batch = before + 1; batch <= window_->completed_through().value; ++batch) {
    for (std::uint32_t s = 0; s < stage_.p.shards; ++s) {
      stage_.fail(server_.judge(s).check_complete(source_, batch_number{batch}));
    }
  }
  if (const auto shard = window_->went_back()) {
    stage_.fail("a worker believes that shard " + std::to_string(shard->value) + " lost its log");
  }
  pump();
}

}  // namespace headrace::simulation
