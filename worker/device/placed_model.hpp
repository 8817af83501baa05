#pragma once

#include "worker/device/device_model.hpp"
#include "worker/model/graph_model.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// A graph at work where it was placed: on the host, or on a device until that fails.
///
/// graph_model's contract. A step that the device cannot finish has changed nothing: the host does
/// the same batch and every later one, and `device_failure` says why. Single-threaded: the trainer
/// owns it.
class placed_model {
 public:
  /// `device`: a library that can compute the graph (device_model::refusal is ""), or none. On a
  /// device products are f32; `wanted` and `how` are the host's.
  explicit placed_model(std::shared_ptr<const model_graph> graph,
                        precision wanted = precision::f32,
                        activations how = activations::keep,
                        std::optional<device_library> device = std::nullopt);

  void plan(const schemas::sample_batch& batch, std::vector<row_set>& sets) {
    host_.plan(batch, sets);
  }
  void plan_network(std::vector<row_set>& sets) const { host_.plan_network(sets); }
  void predict(const schemas::sample_batch& batch,
               std::span<row_set> sets,
               std::span<float> probabilities);
  bool learn(const schemas::sample_batch& batch,
             std::span<row_set> sets,
             std::span<float> probabilities);

  /// As graph_model; on no device (placement.hpp).
  void correct_negatives(float share) { host_.correct_negatives(share); }

  const model_graph& graph() const { return host_.graph(); }
  const graph_model& host() const { return host_; }
  /// Steps of the host and of the device.
  precision_figures precision_so_far() const;
  /// As graph_model; nobody sees the layers of a device, which end when they want.
  void watch_layers(layer_watcher* watcher) { host_.watch_layers(watcher); }

  bool on_device() const { return device_ != nullptr; }
  std::uint64_t device_steps() const { return device_steps_; }
  /// Why it is no longer on its device; "" where it is, or never was.
  const std::string& device_failure() const { return device_failure_; }

 private:
  void leave_device(const error& why);

  graph_model host_;
  std::unique_ptr<device_model> device_;
  std::string device_failure_;
  std::uint64_t device_steps_ = 0;
  std::uint64_t device_steps_not_finite_ = 0;
};

}  // namespace headrace::worker
