#include "worker/metrics/progressive_metrics.hpp"

#include "base/byte_io.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace headrace::worker {
namespace {

constexpr std::size_t buckets = 1U << 16;
constexpr float buckets_per_logit = 2048.0F;  // 2^16 buckets over logits from -16 to 16
constexpr float probability_min = 1e-7F;      // ln of it is -16.1: the ends of the range
constexpr std::uint64_t counted_version = 1;  // buckets are counts, and no sample has a weight
constexpr std::uint64_t saved_version = 2;

// Rises with the probability; probabilities that a float logit keeps apart share one only within
// 2^-11.
std::uint32_t bucket_of(double logit) {
  const double place = (logit + 16.0) * buckets_per_logit;
  return static_cast<std::uint32_t>(std::clamp(place, 0.0, static_cast<double>(buckets - 1)));
}

// Σ over positives of the negatives ranked below it, ties half, as a share of all pairs.
class rank_sum {
 public:
  // Buckets come in rising order.
  void add(double positives, double negatives) {
    pairs_ += positives * (negatives_ + 0.5 * negatives);
    positives_ += positives;
    negatives_ += negatives;
  }
  double auc() const {
    if (positives_ == 0.0 || negatives_ == 0.0) return 0.5;
    return pairs_ / (positives_ * negatives_);
  }

 private:
  double pairs_ = 0.0;
  double positives_ = 0.0;
  double negatives_ = 0.0;
};

}  // namespace

progressive_metrics::progressive_metrics()
    : positive_buckets_(buckets), negative_buckets_(buckets) {}

void progressive_metrics::add(float label, float probability, float weight) {
  if (!(probability >= 0.0F && probability <= 1.0F)) {
    ++not_finite_;
    probability = 0.5F;
  }
  const bool positive = label >= 0.5F;
  const double p = std::clamp(
      static_cast<double>(probability), double{probability_min}, 1.0 - double{probability_min});
  const double log_p = std::log(p);
  const double log_rest = std::log1p(-p);
  const double times = static_cast<double>(weight);
  loss_sum_ -= times * (positive ? log_p : log_rest);
  predicted_sum_ += times * static_cast<double>(probability);
  const std::uint32_t bucket = bucket_of(log_p - log_rest);
  (positive ? positive_buckets_ : negative_buckets_)[bucket] += times;
  (positive ? positives_ : negatives_) += times;
  ++samples_;
  // The bits of floats in [0, 1] sort as their values do and leave the lowest bit for the label; +
  // 0 makes -0 a 0.
  remember({std::bit_cast<std::uint32_t>(probability + 0.0F) * 2 + (positive ? 1 : 0), weight});
}

void progressive_metrics::remember(scored one) {
  if (recent_.size() < recent_window) {
    recent_.push_back(one);
    return;
  }
  recent_[recent_next_] = one;
  recent_next_ = (recent_next_ + 1) % recent_window;
}

double progressive_metrics::auc() const {
  rank_sum ranks;
  for (std::size_t i = 0; i < buckets; ++i) {
    if (positive_buckets_[i] == 0.0 && negative_buckets_[i] == 0.0) continue;
    ranks.add(positive_buckets_[i], negative_buckets_[i]);
  }
  return ranks.auc();
}

double progressive_metrics::recent_auc() const {
  std::vector<scored> sorted = recent_;
  std::ranges::sort(sorted, {}, &scored::probability_and_label);
  rank_sum ranks;
  for (std::size_t i = 0; i < sorted.size();) {
    const std::uint32_t probability = sorted[i].probability_and_label / 2;
    double positives = 0.0;
    double negatives = 0.0;
    for (; i < sorted.size() && sorted[i].probability_and_label / 2 == probability; ++i)
      (sorted[i].probability_and_label % 2 == 1 ? positives : negatives) +=
          static_cast<double>(sorted[i].weight);
    ranks.add(positives, negatives);
  }
  return ranks.auc();
}

double progressive_metrics::logloss() const {
  return samples() == 0 ? 0.0 : loss_sum_ / (positives_ + negatives_);
}

double progressive_metrics::calibration() const {
  return positives_ == 0.0 ? 0.0 : predicted_sum_ / positives_;
}

double progressive_metrics::positive_share() const {
  return samples() == 0 ? 0.0 : positives_ / (positives_ + negatives_);
}

void progressive_metrics::merge(const progressive_metrics& other) {
  for (std::size_t i = 0; i < buckets; ++i) {
    positive_buckets_[i] += other.positive_buckets_[i];
    negative_buckets_[i] += other.negative_buckets_[i];
  }
  for (std::size_t i = 0; i < other.recent_.size(); ++i) {
    remember(other.recent_[(other.recent_next_ + i) % other.recent_.size()]);
  }
  samples_ += other.samples_;
  positives_ += other.positives_;
  negatives_ += other.negatives_;
  not_finite_ += other.not_finite_;
  loss_sum_ += other.loss_sum_;
  predicted_sum_ += other.predicted_sum_;
}

// Words of 8 bytes, little-endian: version, the sums, the samples, the buckets that are not empty,
// the recent ones oldest first, the weight in the upper half.
std::vector<std::byte> progressive_metrics::save() const {
  byte_writer out;
  out.number(saved_version);
  out.number(not_finite_);
  out.number(loss_sum_);
  out.number(predicted_sum_);
  out.number(samples_);
  const auto empty = [&](std::size_t i) {
    return positive_buckets_[i] == 0.0 && negative_buckets_[i] == 0.0;
  };
  std::uint64_t used = 0;
  for (std::size_t i = 0; i < buckets; ++i) used += empty(i) ? 0 : 1;
  out.number(used);
  for (std::size_t i = 0; i < buckets; ++i) {
    if (empty(i)) continue;
    out.number(std::uint64_t{i});
    out.number(positive_buckets_[i]);
    out.number(negative_buckets_[i]);
  }
  out.number(std::uint64_t{recent_.size()});
  for (std::size_t i = 0; i < recent_.size(); ++i) {
    const scored& one = recent_[(recent_next_ + i) % recent_.size()];
    out.number(std::uint64_t{std::bit_cast<std::uint32_t>(one.weight)} << 32 |
               one.probability_and_label);
  }
  return out.take();
}

result<void> progressive_metrics::load(std::span<const std::byte> bytes) {
  const error corrupt{errc::corrupt, "saved metrics cannot be read"};
  byte_reader in(bytes);
  const auto version = in.number<std::uint64_t>();
  if (version != saved_version && version != counted_version) return corrupt;
  const bool counted = version == counted_version;
  const auto sum = [&in, counted] {
    return counted ? static_cast<double>(in.number<std::uint64_t>()) : in.number<double>();
  };
  progressive_metrics read;
  read.not_finite_ = in.number<std::uint64_t>();
  read.loss_sum_ = in.number<double>();
  read.predicted_sum_ = in.number<double>();
  if (!counted) read.samples_ = in.number<std::uint64_t>();
  const std::uint64_t used = in.number<std::uint64_t>();
  if (!in.ok() || used > in.left() / (3 * sizeof(std::uint64_t))) return corrupt;
  for (std::uint64_t i = 0; i < used; ++i) {
    const std::uint64_t bucket = in.number<std::uint64_t>();
    if (bucket >= buckets) return corrupt;
    const double positives = sum();
    const double negatives = sum();
    if (!(positives >= 0.0 && negatives >= 0.0)) return corrupt;
    read.positive_buckets_[bucket] = positives;
    read.negative_buckets_[bucket] = negatives;
    read.positives_ += positives;
    read.negatives_ += negatives;
  }
  if (counted) read.samples_ = static_cast<std::uint64_t>(read.positives_ + read.negatives_);
  const std::uint64_t recent = in.number<std::uint64_t>();
  if (!in.ok() || recent > recent_window || recent * sizeof(std::uint64_t) != in.left())
    return corrupt;
  for (std::uint64_t i = 0; i < recent; ++i) {
    const std::uint64_t entry = in.number<std::uint64_t>();
    const auto low = static_cast<std::uint32_t>(entry);
    const float weight =
        counted ? 1.0F : std::bit_cast<float>(static_cast<std::uint32_t>(entry >> 32));
    if ((counted && entry != low) || low / 2 > std::bit_cast<std::uint32_t>(1.0F)) return corrupt;
    if (!(weight > 0.0F) || !std::isfinite(weight)) return corrupt;
    read.recent_.push_back({low, weight});
  }
  if (!in.at_end() || !std::isfinite(read.loss_sum_) || !std::isfinite(read.predicted_sum_) ||
      !std::isfinite(read.positives_ + read.negatives_))
    return corrupt;
  *this = std::move(read);
  return {};
}

}  // namespace headrace::worker
