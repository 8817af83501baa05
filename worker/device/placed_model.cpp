#include "worker/device/placed_model.hpp"

#include "base/log.hpp"

#include <utility>

namespace headrace::worker {

placed_model::placed_model(std::shared_ptr<const model_graph> graph,
                           precision wanted,
                           activations how,
                           std::optional<device_library> device)
    : host_(graph, wanted, how) {
  if (device) device_ = std::make_unique<device_model>(std::move(graph), std::move(*device));
}

void placed_model::predict(const schemas::sample_batch& batch,
                           std::span<row_set> sets,
                           std::span<float> probabilities) {
  if (device_ != nullptr) {
    const auto done = device_->predict(batch, sets, probabilities);
    if (done) return;
    leave_device(done.error());
  }
  host_.predict(batch, sets, probabilities);
}

bool placed_model::learn(const schemas::sample_batch& batch,
                         std::span<row_set> sets,
                         std::span<float> probabilities) {
  if (device_ != nullptr) {
    const auto finite = device_->learn(batch, sets, probabilities);
    if (finite) {
      ++device_steps_;
      if (!*finite) ++device_steps_not_finite_;
      return *finite;
    }
    leave_device(finite.error());
  }
  return host_.learn(batch, sets, probabilities);
}

void placed_model::leave_device(const error& why) {
  device_failure_ = why.detail;
  log_warn("worker.device_lost",
           {{"reason", device_failure_},
            {"steps", device_steps_},
            {"note", "the same batch and all later ones are learned on the CPU"}});
  device_.reset();
}

precision_figures placed_model::precision_so_far() const {
  precision_figures figures = host_.precision_so_far();
  figures.steps_not_finite += device_steps_not_finite_;
  return figures;
}

}  // namespace headrace::worker
