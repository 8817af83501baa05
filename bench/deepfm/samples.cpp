#include "bench/deepfm/samples.hpp"

#include "base/random.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::bench {
namespace {

constexpr std::uint32_t ranks = 1'000'000;
constexpr double exponent = 1.05;
constexpr double share_of_clicks = 0.25;
constexpr std::uint32_t features = deepfm_fields + deepfm_numbers;

class zipf {
 public:
  zipf() : cdf_(ranks) {
    double sum = 0;
    for (std::uint32_t i = 0; i < ranks; ++i) cdf_[i] = sum += std::pow(i + 1.0, -exponent);
  }
  /// From 0, for a uniform number in [0, 1).
  std::uint64_t rank(double unit) const {
    const auto at = std::ranges::lower_bound(cdf_, unit * cdf_.back());
    return static_cast<std::uint64_t>(at - cdf_.begin());
  }

 private:
  std::vector<double> cdf_;
};

std::uint64_t key_of(std::uint64_t rank, std::uint32_t field) {
  return mix64(rank * deepfm_fields + field) % deepfm_rows;
}

}  // namespace

std::vector<std::shared_ptr<schemas::sample_batch>> make_deepfm_batches(std::uint32_t batch,
                                                                        std::uint32_t samples) {
  const zipf popularity;
  random_stream random(7);
  std::vector<std::shared_ptr<schemas::sample_batch>> batches;
  for (std::uint32_t done = 0; done + batch <= samples; done += batch) {
    auto made = std::make_shared<schemas::sample_batch>();
    made->samples = batch;
    made->features = features;
    for (std::uint32_t s = 0; s < batch; ++s) {
      made->row_numbers.push_back(done + s);
      made->labels.push_back(random.next_unit() < share_of_clicks ? 1.0F : 0.0F);
      for (std::uint32_t f = 0; f < deepfm_fields; ++f) {
        made->keys.push_back(key_of(popularity.rank(random.next_unit()), f));
        made->values.push_back(1.0F);
      }
      for (std::uint32_t f = 0; f < deepfm_numbers; ++f) {
        made->keys.push_back(deepfm_rows + f);
        made->values.push_back(unit_float(random.next()));
      }
    }
    batches.push_back(std::move(made));
  }
  return batches;
}

}  // namespace headrace::bench
