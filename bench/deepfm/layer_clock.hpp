#pragma once

#include "worker/model/layer_watcher.hpp"

#include <chrono>
#include <cstddef>
#include <vector>

namespace headrace::bench {

/// Seconds that each node of a graph took, forward and backward.
class layer_clock final : public worker::layer_watcher {
 public:
  struct seconds {
    double forward = 0.0;
    double backward = 0.0;
  };

  void begin_chunk() override { last_ = std::chrono::steady_clock::now(); }
  void end_layer(std::size_t node, bool backward) override {
    const auto now = std::chrono::steady_clock::now();
    const double took = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    if (spent_.size() <= node) spent_.resize(node + 1);
    (backward ? spent_[node].backward : spent_[node].forward) += took;
  }
  /// Of each node; nodes that never ran may be missing at the end.
  const std::vector<seconds>& spent() const { return spent_; }
  void clear() { spent_.clear(); }

 private:
  std::chrono::steady_clock::time_point last_;
  std::vector<seconds> spent_;
};

}  // namespace headrace::bench
