#pragma once

#include "tests/simulation/event_background.hpp"
#include "tests/simulation/variant.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace headrace::simulation {

/// A background with one mistake, over one without.
class wrong_background final : public ps::background {
 public:
  /// `process` says whether the process lives that began the works.
  wrong_background(variant kind,
                   scene& stage,
                   std::shared_ptr<const bool> process,
                   std::unique_ptr<event_background> right)
      : kind_(kind), stage_(stage), process_(std::move(process)), right_(std::move(right)) {}
  ~wrong_background() override { *alive_ = false; }

  void run(std::function<void()> work, std::function<void()> done) override {
    if (kind_ == variant::tells_done_before_work) {
      right_->run([] {}, std::move(done));
      right_->run(std::move(work), [] {});
      return;
    }
    // finish_does_not_wait: only the end of the process ends what was begun.
    stage_.events.after(stage_.chance.between(0, stage_.p.work_us_max),
                        [this,
                         one = std::make_shared<errand>(errand{std::move(work), std::move(done)}),
                         process = process_,
                         alive = alive_,
                         &stage = stage_] {
                          if (*alive) return perform(one, *process, alive);
                          // The slowest disk: the next incarnation is well on its way.
                          stage.events.after(stage.chance.between(0, late_us_max), [one, process] {
                            if (*process) one->work();
                          });
                        });
  }
  void finish() override {
    if (kind_ != variant::finish_does_not_wait) right_->finish();
  }

 private:
  static constexpr std::uint64_t late_us_max = 300'000;
  struct errand {
    std::function<void()> work;
    std::function<void()> done;
  };
  void perform(const std::shared_ptr<errand>& one,
               bool process_lives,
               const std::shared_ptr<bool>& alive) {
    if (!process_lives) return;
    one->work();
    if (*alive) right_->run([] {}, one->done);
  }

  variant kind_;
  scene& stage_;
  std::shared_ptr<const bool> process_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<event_background> right_;
};

}  // namespace headrace::simulation
