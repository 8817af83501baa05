#include "worker/prefetch/lstm_prefetch.hpp"

#include <algorithm>
#include <cstdio>

namespace headrace::worker {

lstm_prefetch::lstm_prefetch(const settings& given)
    : settings_(given), predictor_(given.predictor), trial_(given.trial) {}

void lstm_prefetch::observe(std::span<const std::uint64_t> keys) {
  guesses_.clear();
  for (const std::uint64_t key : keys) {
    const bool running = trial_.running();
    trial_.use(key);
    if (!running) {
      predictor_.pass(key);
      continue;
    }
    predictor_.observe(key, [this](std::uint64_t other) { return trial_.holds(other); });
    for (const auto& guess : predictor_.guesses()) {
      if (guess.probability >= settings_.probability_min) guesses_.push_back(guess);
    }
  }
}

void lstm_prefetch::predict(std::size_t max, std::vector<std::uint64_t>& wanted) {
  wanted.clear();
  if (!trial_.running()) return;
  // Ties by key, so that the order does not depend on the sort.
  std::sort(guesses_.begin(), guesses_.end(), [](const auto& a, const auto& b) {
    return a.probability != b.probability ? a.probability > b.probability : a.key < b.key;
  });
  for (const auto& guess : guesses_) {
    if (wanted.size() == max) break;
    if (trial_.holds(guess.key)) continue;
    trial_.fetch(guess.key);
    wanted.push_back(guess.key);
  }
  guesses_.clear();
  if (trial_.now() != prefetch_trial::phase::on) wanted.clear();
}

std::string lstm_prefetch::report() const {
  const auto& last = trial_.last();
  char figures[256];
  std::snprintf(
      figures,
      sizeof figures,
      "last window judged: hit ratio %.4f with guesses, %.4f without (%+.2f points), "
      "%llu of %llu fetched rows used; on in %llu of %llu windows",
      last.keys == 0 ? 0.0 : static_cast<double>(last.hits_with) / static_cast<double>(last.keys),
      last.keys == 0 ? 0.0
                     : static_cast<double>(last.hits_without) / static_cast<double>(last.keys),
      100.0 * last.gain(),
      static_cast<unsigned long long>(last.useful),
      static_cast<unsigned long long>(last.fetched),
      static_cast<unsigned long long>(trial_.windows_on()),
      static_cast<unsigned long long>(trial_.windows()));
  switch (trial_.now()) {
    case prefetch_trial::phase::on:
      return std::string("lstm: on; ") + figures;
    case prefetch_trial::phase::trial:
      return std::string("lstm: on trial, nothing is fetched; ") + figures;
    case prefetch_trial::phase::off:
      break;
  }
  return "lstm: off, no prefetch is as good; next trial in " +
         std::to_string(trial_.keys_to_trial()) + " keys; " + figures;
}

}  // namespace headrace::worker
