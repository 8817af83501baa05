#pragma once

#include <functional>

namespace headrace::ps {

/// Where a shard's waiting for disks is done. Implementations: the actor's, over an io_pool; in
/// place, for tests and tools; events of the simulator.
class background {
 public:
  virtual ~background() = default;
  /// Runs `work` where it may wait, then `done` on the owner's thread, unless the owner is gone by
  /// then. Works of one owner may overlap and end in any order.
  virtual void run(std::function<void()> work, std::function<void()> done) = 0;
  /// Returns when every work given so far has ended. Their `done`s still come, in their time.
  virtual void finish() = 0;
};

/// At once, on the caller's thread.
class in_place final : public background {
 public:
  void run(std::function<void()> work, std::function<void()> done) override {
    work();
    done();
  }
  void finish() override {}
};

}  // namespace headrace::ps
