#include "worker/metrics/windowed_metrics.hpp"

namespace headrace::worker {

void windowed_metrics::part::add(std::uint64_t row, float label, float probability) {
  if (scores.samples() == 0) first_row = row;
  last_row = row;
  scores.add(label, probability);
}

windowed_metrics::figures windowed_metrics::figures_of(const part& of) {
  return {.first_row = of.first_row,
          .last_row = of.last_row,
          .samples = of.scores.samples(),
          .auc = of.scores.auc(),
          .logloss = of.scores.logloss(),
          .calibration = of.scores.calibration(),
          .positive_share = of.scores.positive_share(),
          .not_finite = of.scores.not_finite()};
}

void windowed_metrics::add(std::uint64_t row, float label, float probability) {
  all_.add(row, label, probability);
  if (window_ == 0) return;
  open_.add(row, label, probability);
  if (open_.scores.samples() < window_) return;
  closed_.push_back(figures_of(open_));
  open_ = {};
}

std::vector<windowed_metrics::figures> windowed_metrics::windows() const {
  std::vector<figures> every = closed_;
  if (open_.scores.samples() > 0) every.push_back(figures_of(open_));
  return every;
}

}  // namespace headrace::worker
