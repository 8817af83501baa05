#include "worker/model/layers.hpp"

#include "kernels/bce/bce.hpp"
#include "kernels/fm/fm.hpp"

namespace headrace::worker {

void row_lookup::plan(std::span<const std::uint64_t> keys, row_set& rows) {
  kernels::dedup({.keys = keys,
                  .scratch = scratch_,
                  .unique = rows.keys,
                  .inverse = rows.inverse,
                  .counts = rows.counts});
  rows.size_buffers();
}

void factorization::forward(const schemas::sample_batch& batch,
                            const row_set& embedding,
                            float bias,
                            std::span<float> logits) {
  const std::size_t latent = embedding.dim - 1;
  sums_.resize(batch.samples * latent);
  kernels::fm_forward({.rows = embedding.values,
                       .inverse = embedding.inverse,
                       .values = batch.values,
                       .features = batch.features,
                       .latent_dim = latent,
                       .bias = bias,
                       .logits = logits,
                       .sums = sums_});
}

float factorization::backward(const schemas::sample_batch& batch,
                              std::span<const float> logit_gradients,
                              row_set& embedding) const {
  return kernels::fm_backward({.rows = embedding.values,
                               .inverse = embedding.inverse,
                               .values = batch.values,
                               .features = batch.features,
                               .latent_dim = embedding.dim - 1,
                               .sums = sums_,
                               .logit_gradients = logit_gradients,
                               .row_gradients = embedding.gradients});
}

void log_loss::forward_backward(std::span<const float> logits,
                                std::span<const float> labels,
                                std::span<float> probabilities,
                                std::span<float> logit_gradients) const {
  kernels::bce({.logits = logits,
                .labels = labels,
                .probabilities = probabilities,
                .logit_gradients = logit_gradients});
}

}  // namespace headrace::worker
