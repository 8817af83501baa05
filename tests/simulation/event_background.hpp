#pragma once

#include "ps/shard/background.hpp"
#include "tests/simulation/scene.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace headrace::simulation {

/// Waiting for disks as events: a work runs after a drawn time, and its owner hears of it after
/// another. Works overlap and end in any order. When this object goes, its owner is dead: no `done`
/// comes any more.
class event_background final : public ps::background {
 public:
  struct hooks {
    /// Before and after a work. True: the owner died of it.
    std::function<bool()> crash_point;
    /// The owner heard of a work.
    std::function<void()> told;
  };
  event_background(scene& stage, hooks owner);
  ~event_background() override;

  void run(std::function<void()> work, std::function<void()> done) override;
  /// What waits runs now, in a drawn order; the `done`s come as events.
  void finish() override;
  /// The process dies: a drawn part of what waits was done in time, the rest never is.
  void crash();

 private:
  struct errand {
    std::function<void()> work;  // empty once it ran, or never will
    std::function<void()> done;
  };
  using errand_ptr = std::shared_ptr<errand>;
  /// What events know: it outlives this object.
  struct office {
    scene& stage;
    hooks owner;
    std::vector<errand_ptr> waiting;
    bool closed = false;
  };
  static void begin(const std::shared_ptr<office>& at, const errand_ptr& one);
  static void perform(office& at, const errand_ptr& one);
  static void tell_later(const std::shared_ptr<office>& at, const errand_ptr& one);

  std::shared_ptr<office> office_;
};

}  // namespace headrace::simulation
