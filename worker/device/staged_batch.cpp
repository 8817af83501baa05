#include "worker/device/staged_batch.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

namespace headrace::worker {
namespace {

constexpr std::size_t alignment = 256;

// A place of `bytes` behind `size`, which grows.
std::size_t place(std::size_t& size, std::size_t bytes) {
  const std::size_t at = size;
  size += (bytes + alignment - 1) / alignment * alignment;
  return at;
}

template <class Value>
void put(std::span<const Value> values, std::byte* to) {
  if (!values.empty()) std::memcpy(to, values.data(), values.size_bytes());
}

}  // namespace

staged_batch::staged_batch(std::shared_ptr<const model_graph> graph)
    : graph_(std::move(graph)),
      tables_(graph_->tables().size()),
      features_(graph_->nodes().size()),
      numbers_(graph_->nodes().size()),
      outputs_(graph_->nodes().size()),
      loss_of_(graph_->nodes().size()) {
  for (std::size_t i = 0; i < loss_of_.size(); ++i) {
    const layer& body = *graph_->nodes()[i].body;
    if (body.is_loss()) loss_of_[i] = loss_layers_++;
    const device_form form = body.on_device();
    if (const auto* numbers = std::get_if<numbers_form>(&form)) features_[i] = numbers->features;
  }
}

void staged_batch::lay_out(const schemas::sample_batch& batch,
                           std::span<const row_set> sets,
                           std::size_t chunk_samples,
                           bool learning) {
  CHECK(sets.size() == tables_.size());
  CHECK(batch.label_count >= graph_->labels());
  const std::size_t samples = batch.samples;
  const std::size_t chunks = (samples + chunk_samples - 1) / chunk_samples;
  chunk_samples_ = chunk_samples;
  learning_ = learning;
  label_count_ = batch.label_count;
  inputs_bytes_ = 0;
  results_bytes_ = 0;
  labels_ = place(inputs_bytes_, samples * label_count_ * sizeof(float));
  losses_ = place(results_bytes_, chunks * loss_layers_ * sizeof(double));
  scratch_ = place(results_bytes_, sizeof(float));
  const auto nodes = graph_->nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const layer& body = *nodes[i].body;
    const std::size_t bytes = samples * body.output.columns() * sizeof(float);
    if (body.is_loss()) outputs_[i] = place(results_bytes_, bytes);
    if (!features_[i].empty()) numbers_[i] = place(inputs_bytes_, bytes);
  }
  gradients_ = results_bytes_;
  for (std::size_t t = 0; t < sets.size(); ++t) {
    const std::size_t places = samples * sets[t].features * sizeof(std::uint32_t);
    const std::size_t floats = sets[t].values.size() * sizeof(float);
    tables_[t].values = place(inputs_bytes_, floats);
    if (learning) tables_[t].gradients = place(results_bytes_, floats);
    if (graph_->tables()[t].rows > 0) continue;
    tables_[t].inverse = place(inputs_bytes_, places);
    if (learning) tables_[t].order = place(inputs_bytes_, places);
    if (!sets[t].factors.empty()) tables_[t].factors = place(inputs_bytes_, places);
  }
}

void staged_batch::write(const schemas::sample_batch& batch,
                         std::span<const row_set> sets,
                         std::byte* to) {
  write_labels(batch, to + labels_);
  for (std::size_t i = 0; i < numbers_.size(); ++i)
    if (!features_[i].empty()) write_numbers(batch, features_[i], to + numbers_[i]);
  for (std::size_t t = 0; t < sets.size(); ++t) {
    const std::size_t places = std::size_t{batch.samples} * sets[t].features;
    put(std::span<const float>(sets[t].values), to + tables_[t].values);
    if (graph_->tables()[t].rows > 0) continue;
    put(std::span(sets[t].inverse).first(places), to + tables_[t].inverse);
    if (learning_) write_order(sets[t], batch.samples, to + tables_[t].order);
    if (!sets[t].factors.empty())
      put(std::span(sets[t].factors).first(places), to + tables_[t].factors);
  }
}

// A counting sort of each chunk's places: rows ascending, places of a row ascending.
void staged_batch::write_order(const row_set& set, std::size_t samples, std::byte* to) {
  auto* order = reinterpret_cast<std::uint32_t*>(to);
  for (std::size_t begin = 0; begin < samples; begin += chunk_samples_) {
    const std::size_t count = std::min(chunk_samples_, samples - begin) * set.features;
    const auto inverse = std::span(set.inverse).subspan(begin * set.features, count);
    starts_.assign(set.rows() + 1, 0);
    for (const std::uint32_t row : inverse) ++starts_[row + 1];
    for (std::size_t row = 0; row < set.rows(); ++row) starts_[row + 1] += starts_[row];
    for (std::uint32_t i = 0; i < count; ++i) order[starts_[inverse[i]]++] = i;
    order += count;
  }
}

// In the batch the labels of a sample lie side by side.
void staged_batch::write_labels(const schemas::sample_batch& batch, std::byte* to) const {
  auto* floats = reinterpret_cast<float*>(to);
  for (std::size_t begin = 0; begin < batch.samples; begin += chunk_samples_) {
    const std::size_t samples = std::min<std::size_t>(chunk_samples_, batch.samples - begin);
    for (std::size_t l = 0; l < label_count_; ++l) {
      for (std::size_t s = 0; s < samples; ++s)
        *floats++ = batch.labels[(begin + s) * label_count_ + l];
    }
  }
}

void staged_batch::write_numbers(const schemas::sample_batch& batch,
                                 std::span<const std::uint32_t> features,
                                 std::byte* to) const {
  auto* floats = reinterpret_cast<float*>(to);
  CHECK(features.back() < batch.features);
  for (std::size_t s = 0; s < batch.samples; ++s) {
    for (const std::uint32_t f : features)
      *floats++ = batch.values.empty() ? 1.0F : batch.values[s * batch.features + f];
  }
}

}  // namespace headrace::worker
