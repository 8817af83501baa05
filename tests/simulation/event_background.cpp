#include "tests/simulation/event_background.hpp"

#include <algorithm>
#include <utility>

namespace headrace::simulation {

event_background::event_background(scene& stage, hooks owner)
    : office_(std::make_shared<office>(office{stage, std::move(owner), {}, false})) {}

event_background::~event_background() {
  office_->closed = true;
  office_->waiting.clear();
}

void event_background::run(std::function<void()> work, std::function<void()> done) {
  scene& stage = office_->stage;
  auto one = std::make_shared<errand>(errand{std::move(work), std::move(done)});
  office_->waiting.push_back(one);
  stage.events.after(stage.chance.between(0, stage.p.work_us_max),
                     [at = office_, one] { begin(at, one); });
}

void event_background::begin(const std::shared_ptr<office>& at, const errand_ptr& one) {
  if (at->closed || !one->work) return;
  if (at->owner.crash_point()) return;
  perform(*at, one);
  if (at->owner.crash_point()) return;
  tell_later(at, one);
}

void event_background::perform(office& at, const errand_ptr& one) {
  std::erase(at.waiting, one);
  std::exchange(one->work, nullptr)();
}

void event_background::tell_later(const std::shared_ptr<office>& at, const errand_ptr& one) {
  at->stage.events.after(at->stage.chance.between(0, at->stage.p.told_us_max), [at, one] {
    if (at->closed) return;
    one->done();
    if (!at->closed) at->owner.told();
  });
}

void event_background::finish() {
  while (!office_->waiting.empty()) {
    const auto picked = office_->stage.chance.between(0, office_->waiting.size() - 1);
    const errand_ptr one = office_->waiting[picked];
    perform(*office_, one);
    tell_later(office_, one);
  }
}

void event_background::crash() {
  for (const errand_ptr& one : std::exchange(office_->waiting, {})) {
    const auto work = std::exchange(one->work, nullptr);
    if (office_->stage.chance.chance(0.5)) work();
  }
}

}  // namespace headrace::simulation
