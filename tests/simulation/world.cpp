#include "tests/simulation/world.hpp"

#include "tests/simulation/scene.hpp"
#include "tests/simulation/simulated_server.hpp"
#include "tests/simulation/simulated_worker.hpp"

#include <algorithm>

namespace headrace::simulation {
namespace {

constexpr std::uint64_t second_us = 1'000'000;
// A section waits for 32 × 500 ms at most, a refused one for 1 s; nothing may take so many rounds.
constexpr std::uint64_t patience_us = 300 * second_us;
constexpr std::uint64_t events_max = 2'000'000;    // a thousand times what a run takes
constexpr std::uint64_t after_end_us = second_us;  // for messages still on their way

class world {
 public:
  world(std::uint64_t seed, variant kind)
      : stage_(seed), kind_(kind), server_(stage_, kind), current_(stage_.p.sources) {}

  outcome run() {
    server_.start();
    for (std::uint32_t source = 0; source < stage_.p.sources; ++source) {
      seal_more(source);
      replace(source);
    }
    worker_fault_sometimes();
    stage_.events.at(stage_.p.faults_us, [this] {
      stage_.healed = true;
      server_.heal();
    });
    run_until_quiet();
    if (!stage_.result.failure) server_.check_end();
    return report();
  }

 private:
  void seal_more(std::uint32_t source) {
    if (stage_.sealed_through[source] == stage_.p.batches) return;
    stage_.events.after(stage_.chance.between(0, stage_.p.seal_us_max), [this, source] {
      ++stage_.sealed_through[source];
      if (current_[source]) current_[source]->pump();
      seal_more(source);
    });
  }

  void replace(std::uint32_t source) {
    current_[source] =
        std::make_shared<simulated_worker>(stage_, server_, kind_, source, workers_.size());
    workers_.push_back(current_[source]);
    current_[source]->start();
  }

  void worker_fault_sometimes() {
    stage_.events.after(stage_.chance.between(1, stage_.p.worker_fault_us_max), [this] {
      if (stage_.healed) return;
      worker_fault(static_cast<std::uint32_t>(stage_.chance.between(0, stage_.p.sources - 1)));
      worker_fault_sometimes();
    });
  }

  // A worker dies, or is taken for dead and goes on; another takes its source.
  void worker_fault(std::uint32_t source) {
    const auto old = current_[source];
    ++stage_.result.faults;
    if (stage_.chance.chance(stage_.p.zombie)) {
      ++stage_.result.zombies;
      if (stage_.chance.chance(0.5)) old->pause(stage_.chance.between(1, stage_.p.faults_us));
      if (stage_.chance.chance(0.5)) {
        stage_.events.after(stage_.chance.between(1, stage_.p.faults_us), [old] { old->kill(); });
      }
    } else {
      old->kill();
    }
    replace(source);
  }

  bool drained() const {
    return std::all_of(
        current_.begin(), current_.end(), [](const auto& one) { return one->drained(); });
  }

  void run_until_quiet() {
    std::optional<std::uint64_t> end_us;
    while (!stage_.result.failure && stage_.events.step()) {
      const std::uint64_t now = stage_.events.now_us();
      stage_.learned = stage_.learned || (stage_.healed && drained());
      if (stage_.learned && !end_us) end_us = now + after_end_us;
      if (end_us && now >= *end_us && !server_.busy_with()) return;
      if (now > stage_.p.faults_us + patience_us || stage_.events.done() > events_max)
        return stage_.fail(unfinished());
    }
  }

  std::string unfinished() const {
    std::string text = "not every batch got through after everything healed:";
    for (std::uint32_t source = 0; source < stage_.p.sources; ++source) {
      text += " source " + std::to_string(source) +
              (current_[source]->drained() ? " drained," : " not drained,");
      for (std::uint32_t s = 0; s < stage_.p.shards; ++s) {
        text += ' ' + std::to_string(server_.judge(s).watermark(source).value);
      }
      text += " of " + std::to_string(stage_.p.batches) + ';';
    }
    return text + ' ' + server_.busy_with().value_or("all shards are quiet");
  }

  outcome report() {
    outcome& result = stage_.result;
    for (const auto& one : workers_) result.resent += one->resent();
    result.voids = server_.voids();
    result.events = stage_.events.done();
    result.virtual_ms = stage_.events.now_us() / 1'000;
    result.trace = stage_.events.trace();
    return result;
  }

  scene stage_;
  variant kind_;
  simulated_server server_;
  std::vector<std::shared_ptr<simulated_worker>> workers_;
  std::vector<std::shared_ptr<simulated_worker>> current_;  // [source]
};

}  // namespace

outcome run(std::uint64_t seed, variant kind) { return world(seed, kind).run(); }

}  // namespace headrace::simulation
