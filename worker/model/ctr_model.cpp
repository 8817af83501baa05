#include "worker/model/ctr_model.hpp"

#include "base/check.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

constexpr std::size_t embedding_set = 0;
constexpr std::size_t bias_set = 1;

std::size_t width_of(const model_spec& spec, const schemas::job_schema& schema) {
  CHECK(spec.embedding.value < schema.tables.size());
  CHECK(spec.arch == model_arch::count || schema.tables[spec.bias.value].dim == 1);
  return schema.tables[spec.embedding.value].dim;
}

}  // namespace

ctr_model::ctr_model(const model_spec& spec, const schemas::job_schema& schema)
    : spec_(spec), embedding_width_(width_of(spec, schema)) {}

void ctr_model::plan(const schemas::sample_batch& batch, std::vector<row_set>& sets) {
  sets.resize(spec_.arch == model_arch::count ? 1 : 2);
  row_set& embedding = sets[embedding_set];
  embedding.table = spec_.embedding;
  embedding.dim = embedding_width_;
  lookup_.plan(batch.keys, embedding);
  if (spec_.arch == model_arch::count) return;
  row_set& bias = sets[bias_set];
  bias.table = spec_.bias;
  bias.dim = 1;
  bias.keys.assign(1, 0);
  bias.counts.assign(1, batch.samples);
  bias.inverse.assign(batch.samples, 0);
  bias.size_buffers();
}

std::span<const float> ctr_model::forward(const schemas::sample_batch& batch,
                                          const std::vector<row_set>& sets) {
  probabilities_.resize(batch.samples);
  if (spec_.arch == model_arch::count) {
    std::fill(
        probabilities_.begin(), probabilities_.end(), 0.5F);  // a frequency table predicts nothing
    return probabilities_;
  }
  logits_.resize(batch.samples);
  logit_gradients_.resize(batch.samples);
  factorization_.forward(batch, sets[embedding_set], sets[bias_set].values[0], logits_);
  loss_.forward_backward(logits_, batch.labels, probabilities_, logit_gradients_);
  return probabilities_;
}

void ctr_model::backward(const schemas::sample_batch& batch, std::vector<row_set>& sets) {
  row_set& embedding = sets[embedding_set];
  if (spec_.arch == model_arch::count) {
    for (std::size_t i = 0; i < embedding.rows(); ++i) {
      embedding.gradients[i * embedding.dim] = static_cast<float>(embedding.counts[i]);
    }
    return;
  }
  sets[bias_set].gradients[0] = factorization_.backward(batch, logit_gradients_, embedding);
}

}  // namespace headrace::worker
