#include "worker/ingest/planted_source.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace headrace::worker {
namespace {

constexpr std::array<std::uint64_t, 5> vocabularies = {1'000'000, 100'000, 10'000, 1'000, 100};
constexpr double exponent = 1.05;
constexpr double bias = -1.6;
constexpr std::size_t latent_values = 4;
constexpr std::uint64_t drift_rows = 200'000;

// The second model: as large as the first, and by `alike` of it.
constexpr double conversion_bias = -2.2;
constexpr double alike = 0.5;
constexpr std::uint64_t conversion_model = 0xC0'4E75'10'4E00ULL;
constexpr std::uint64_t conversion_draws = 0xC0'4E75'D2'A700ULL;

double uniform(std::uint64_t x) { return unit_double(mix64(x)); }

// About normal: the sum of four uniforms, mean 0, variance 1.
double normal(std::uint64_t k) {
  return (uniform(4 * k) + uniform(4 * k + 1) + uniform(4 * k + 2) + uniform(4 * k + 3) - 2.0) *
         std::sqrt(3.0);
}

}  // namespace

planted_source::planted_source(std::uint64_t rows, std::uint64_t seed, generator kind)
    : rows_(rows), seed_(seed), kind_(kind), random_(seed) {
  for (const std::uint64_t n : vocabularies) ranks_.emplace_back(exponent, n);
  for (std::size_t j = 0; j < dense_fields; ++j) dense_weights_[j] = 0.6 * normal(0xD0000 + j);
}

result<bool> planted_source::next(event& into) {
  if (position_ == rows_) return false;
  into.keys.resize(features());
  into.values.assign(features(), 1.0F);
  for (std::size_t f = 0; f < id_fields; ++f) into.keys[f] = key_of(f, ranks_[f % 5](random_));
  double logit = logit_of_ids(into);
  for (std::size_t j = 0; j < dense_fields; ++j) {
    const auto dense = static_cast<float>(random_.next_unit());
    into.keys[id_fields + j] = key_of(id_fields + j, 0);
    into.values[id_fields + j] = dense;
    logit += (static_cast<double>(dense) - 0.5) * dense_weights_[j];
  }
  truth_ = 1.0 / (1.0 + std::exp(-logit));
  into.label = random_.next_unit() < truth_ ? 1.0F : 0.0F;
  if (kind_ == generator::planted_conversion) draw_conversion(into);
  into.event_time_ms = 0;
  into.row_number = position_++;
  return true;
}

// The draw is by row number, so the stream of draws is that of the other variants.
void planted_source::draw_conversion(event& into) {
  const double after_click = 1.0 / (1.0 + std::exp(-conversion_logit(into)));
  conversion_truth_ = truth_ * after_click;
  const double u = unit_double(counter_draw(seed_, conversion_draws, position_));
  into.more_labels.assign(1, into.label > 0.5F && u < after_click ? 1.0F : 0.0F);
}

double planted_source::conversion_logit(const event& drawn) const {
  const double own = std::sqrt(1.0 - alike * alike);
  const auto mixture = [own](std::uint64_t first) {
    return alike * normal(first) + own * normal(mix64(first ^ conversion_model));
  };
  double logit = conversion_bias;
  double squares = 0.0;
  std::array<double, latent_values> sums{};
  for (std::size_t f = 0; f < id_fields; ++f) {
    const std::uint64_t mixed = mix64(drawn.keys[f]);
    logit += 0.30 * mixture(mixed);
    for (std::size_t l = 0; l < latent_values; ++l) {
      const double v = 0.15 * mixture(mixed + 0x77 * (l + 1));
      sums[l] += v;
      squares += v * v;
    }
  }
  for (std::size_t j = 0; j < dense_fields; ++j)
    logit += (static_cast<double>(drawn.values[id_fields + j]) - 0.5) * 0.6 * mixture(0xD0000 + j);
  double squared_sums = 0.0;
  for (const double sum : sums) squared_sums += sum * sum;
  return logit + 0.5 * (squared_sums - squares);
}

// Bias, first order (redrawn every drift_rows rows in a third of the fields of the drift variant)
// and second order.
double planted_source::logit_of_ids(const event& drawn) const {
  double logit = bias;
  double squares = 0.0;
  std::array<double, latent_values> sums{};
  for (std::size_t f = 0; f < id_fields; ++f) {
    const std::uint64_t key = drawn.keys[f];
    const bool drifts = kind_ == generator::planted_drift && f % 3 == 0;
    const std::uint64_t era = drifts ? (1 + position_ / drift_rows) << 56 : 0;
    const std::uint64_t mixed = mix64(key);
    logit += 0.30 * normal(drifts ? mix64(key ^ era) : mixed);
    for (std::size_t l = 0; l < latent_values; ++l) {
      const double v = 0.15 * normal(mixed + 0x77 * (l + 1));
      sums[l] += v;
      squares += v * v;
    }
  }
  double squared_sums = 0.0;
  for (const double sum : sums) squared_sums += sum * sum;
  return logit + 0.5 * (squared_sums - squares);
}

// How many draws a row takes depends on the draws themselves, so they are all made; the true model
// is not needed.
result<void> planted_source::skip(std::uint64_t through) {
  if (through > rows_) {
    return error{errc::bad_input,
                 "the generated stream has " + std::to_string(rows_) + " rows but " +
                     std::to_string(through) + " were read before; source.rows was changed"};
  }
  for (; position_ < through; ++position_) {
    for (std::size_t f = 0; f < id_fields; ++f) ranks_[f % 5](random_);
    for (std::size_t j = 0; j <= dense_fields; ++j) random_.next();
  }
  return {};
}

}  // namespace headrace::worker
