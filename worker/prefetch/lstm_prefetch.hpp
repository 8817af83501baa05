#pragma once

#include "worker/prefetch/lstm_predictor.hpp"
#include "worker/prefetch/prefetch_policy.hpp"
#include "worker/prefetch/prefetch_trial.hpp"

namespace headrace::worker {

/// Prefetch by guesses for streams whose next batch is not known: what the LSTM predictor thinks
/// likely and the shadow of the table's DRAM does not hold. Asks for nothing while its trial says
/// that guessing is no better than not.
class lstm_prefetch final : public prefetch_policy {
 public:
  struct settings {
    lstm_predictor::settings predictor;
    prefetch_trial::settings trial;
    float probability_min = 0.2F;  // of a use within the predictor's horizon
  };
  explicit lstm_prefetch(const settings& given);

  void observe(std::span<const std::uint64_t> keys) override;
  void predict(std::size_t max, std::vector<std::uint64_t>& wanted) override;
  std::string report() const override;

  const prefetch_trial& trial() const { return trial_; }

 private:
  settings settings_;
  lstm_predictor predictor_;
  prefetch_trial trial_;
  std::vector<lstm_predictor::guess> guesses_;  // of the batch observed last
};

}  // namespace headrace::worker
