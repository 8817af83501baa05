#include "worker/cross/cross_search.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t blocks_max = 400;
constexpr std::size_t blocks_min = 10;  // fewer say nothing about noise
constexpr std::size_t none = SIZE_MAX;
constexpr std::size_t slots_min = 1U << 10;
constexpr std::size_t slots_max = 1U << 20;
constexpr double crowded_share = 0.95;
constexpr double false_alarms = 0.01;  // of a search

/// What a combination adds to the features it is of is smaller than what those say.
constexpr float cross_variance = 0.1F;

std::size_t slots_for(std::size_t tables, std::size_t bytes) {
  const std::size_t fit = bytes / sizeof(gaussian_weight) / std::max<std::size_t>(1, tables);
  return std::clamp(std::bit_floor(std::max<std::size_t>(1, fit)), slots_min, slots_max);
}

}  // namespace

cross_search::cross_search(settings how) : how_(std::move(how)), base_(how_.features, how_.dim) {
  for (const pair& each : how_.pairs) {
    CHECK(each.first != each.second);
    features_.insert(features_.end(), {each.first, each.second});
  }
  std::sort(features_.begin(), features_.end());
  features_.erase(std::unique(features_.begin(), features_.end()), features_.end());
  places_.resize(features_.empty() ? 0 : features_.back() + 1);
  for (std::size_t i = 0; i < features_.size(); ++i) places_[features_[i]] = i;
  const std::size_t tables = how_.pairs.size() + features_.size();
  slots_ = slots_for(tables, how_.table_bytes);
  tables_.resize(tables);
  for (table& each : tables_) each.weights.assign(slots_, {0.0F, cross_variance});
  hashes_.resize(features_.size());
  totals_.resize(tables);
  block_.resize(tables);
}

double cross_search::table::try_and_learn(bool label,
                                          double base_logit,
                                          double base_loss,
                                          std::size_t slot) {
  gaussian_weight& weight = weights[slot];
  if (weight.variance == cross_variance) ++taken;
  const double logit = base_logit + static_cast<double>(weight.mean);
  const gaussian_step step(label, logit, static_cast<double>(weight.variance));
  step.move(weight, 1.0);
  return base_loss - logistic_loss(label, logit);
}

void cross_search::add(const event& seen) {
  const bool label = seen.label > 0.5F;
  const double logit = base_.predict(seen);
  const double loss = logistic_loss(label, logit);
  base_scores_.add(seen.label, static_cast<float>(logistic(logit)));
  for (std::size_t i = 0; i < features_.size(); ++i) {
    CHECK(features_[i] < seen.keys.size());
    hashes_[i] = mix64(seen.keys[features_[i]] + features_[i]);
  }
  const auto note = [&](std::size_t t, std::uint64_t hash) {
    const double gain = tables_[t].try_and_learn(label, logit, loss, mix64(hash) & (slots_ - 1));
    totals_[t] += gain;
    block_[t] += gain;
  };
  for (std::size_t p = 0; p < how_.pairs.size(); ++p) {
    const pair& of = how_.pairs[p];
    note(p, hashes_[places_[of.first]] ^ std::rotl(hashes_[places_[of.second]], 23));
  }
  for (std::size_t i = 0; i < features_.size(); ++i) note(how_.pairs.size() + i, hashes_[i]);
  base_.learn(seen);
  ++events_;
  if (++in_block_ == block_events_) close_block();
}

// Of more than blocks_max blocks each two neighbours become one.
void cross_search::close_block() {
  blocks_.insert(blocks_.end(), block_.begin(), block_.end());
  std::fill(block_.begin(), block_.end(), 0.0);
  in_block_ = 0;
  const std::size_t n = tables_.size();
  if (blocks_.size() < blocks_max * n) return;
  for (std::size_t b = 0; b < blocks_max / 2; ++b) {
    for (std::size_t t = 0; t < n; ++t)
      blocks_[b * n + t] = blocks_[2 * b * n + t] + blocks_[(2 * b + 1) * n + t];
  }
  blocks_.resize(blocks_max / 2 * n);
  block_events_ *= 2;
}

cross_search::comparison cross_search::compare(std::size_t of, std::size_t against) const {
  const std::size_t n = tables_.size();
  const std::size_t blocks = blocks_.size() / n;
  const auto gain = [&](std::size_t b) {
    return blocks_[b * n + of] - (against == none ? 0.0 : blocks_[b * n + against]);
  };
  comparison found;
  const double total = totals_[of] - (against == none ? 0.0 : totals_[against]);
  found.mean = total / static_cast<double>(std::max<std::uint64_t>(1, events_));
  if (blocks < blocks_min) return {found.mean, INFINITY};
  double mean = 0.0;
  for (std::size_t b = 0; b < blocks; ++b) mean += gain(b);
  mean /= static_cast<double>(blocks);
  double squares = 0.0;
  for (std::size_t b = 0; b < blocks; ++b) squares += (gain(b) - mean) * (gain(b) - mean);
  const double variance = squares / static_cast<double>(blocks - 1);
  found.standard_error =
      std::sqrt(variance / static_cast<double>(blocks)) / static_cast<double>(block_events_);
  return found;
}

std::vector<cross_search::finding> cross_search::findings() const {
  std::vector<finding> found;
  for (std::size_t p = 0; p < how_.pairs.size(); ++p) {
    finding one;
    one.of = how_.pairs[p];
    const std::size_t alone = how_.pairs.size();
    const auto z_of = [](const comparison& c) {
      return c.standard_error > 0.0 ? c.mean / c.standard_error : 0.0;
    };
    comparison worst = compare(p, none);
    one.z = z_of(worst);
    for (const std::uint32_t part : {one.of.first, one.of.second}) {
      const auto against = compare(p, alone + places_[part]);
      one.z = std::min(one.z, z_of(against));
      if (against.mean < worst.mean) worst = against;
    }
    one.gain = worst.mean;
    one.standard_error = worst.standard_error;
    const double share = static_cast<double>(tables_[p].taken) / static_cast<double>(slots_);
    one.crowded = share > crowded_share;
    one.distinct = -static_cast<double>(slots_) * std::log1p(-std::min(share, crowded_share));
    one.worth_it = one.gain > 0.0 && one.z >= z_min();
    found.push_back(one);
  }
  std::stable_sort(found.begin(), found.end(), [](const finding& a, const finding& b) {
    return a.gain > b.gain;
  });
  return found;
}

double cross_search::z_min() const {
  return std::sqrt(2.0 *
                   std::log(0.5 * static_cast<double>(std::max<std::size_t>(1, how_.pairs.size())) /
                            false_alarms));
}

std::size_t cross_search::bytes() const {
  return base_.bytes() + tables_.size() * slots_ * sizeof(gaussian_weight) +
         blocks_max * tables_.size() * sizeof(double);
}

}  // namespace headrace::worker
