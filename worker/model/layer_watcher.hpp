#pragma once

#include <cstddef>

namespace headrace::worker {

/// Sees a pass through a graph layer by layer: what a profile of a step is made of. Called on the
/// thread that learns, several times a step; what it does counts as the step's time.
class layer_watcher {
 public:
  virtual ~layer_watcher() = default;
  /// The layers of a chunk of samples begin.
  virtual void begin_chunk() = 0;
  /// The pass of one node over the chunk ended; sums at fan-out belong to it. Another's begins.
  virtual void end_layer(std::size_t node, bool backward) = 0;
};

}  // namespace headrace::worker
