#include "bench/deepfm/loss_match.hpp"

#include "bench/deepfm/locked_shards.hpp"
#include "bench/deepfm/samples.hpp"
#include "bench/deepfm/training_thread.hpp"

namespace headrace::bench {
namespace {

constexpr std::uint32_t samples = 512;  // of a batch

result<double> mean_loss(const deepfm_job& job, worker::precision as, std::uint32_t batches) {
  locked_shards shards(job.schema);
  const auto thread =
      make_ps_thread(job, shards, make_deepfm_batches(samples, samples * batches), 0, 1, as);
  thread->keeps_loss = true;
  for (std::uint32_t b = 0; b < batches; ++b) {
    if (const auto done = thread->step(); !done) return done.error();
  }
  return thread->loss / (samples * batches);
}

}  // namespace

result<loss_match> match_losses(const deepfm_job& job,
                                worker::precision as,
                                std::uint32_t batches) {
  const auto full = mean_loss(job, worker::precision::f32, batches);
  if (!full) return full.error();
  if (as == worker::precision::f32) return loss_match{*full, *full};
  const auto half = mean_loss(job, as, batches);
  if (!half) return half.error();
  return loss_match{*full, *half};
}

}  // namespace headrace::bench
