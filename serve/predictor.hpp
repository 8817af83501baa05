#pragma once

#include "base/result.hpp"
#include "schemas/event.hpp"
#include "schemas/sample.hpp"
#include "serve/replica.hpp"
#include "serve/served_model.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/step/batch_scorer.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace::serve {

/// What was predicted of the requests of one batch.
struct predictions {
  replica_stamp stamp;  // of the rows it was made from: they are not older
  /// [samples, heads], request after request. Of a model of op `next_item` no probabilities but
  /// scores: products of the newest state of a list with the vector of what may come, whose
  /// exponentials are to each other as the probabilities.
  std::vector<float> probabilities;
  struct part {
    std::size_t first = 0;  // sample
    std::size_t samples = 0;
    std::size_t unknown_ids = 0;  // different ids of the request that have no row
  };
  std::vector<part> requests;

  std::span<const float> of(std::size_t request, std::size_t heads) const {
    const part& at = requests[request];
    return std::span(probabilities).subspan(at.first * heads, at.samples * heads);
  }
};

/// What each feature of one instance adds to a prediction.
struct explanation {
  replica_stamp stamp;
  float probability = 0.0F;  // of the instance
  double logit = 0.0;
  double baseline_logit = 0.0;  // of one of which nothing is known
  struct feature_share {
    std::string_view feature;  // of the served_model
    double logit = 0.0;        // all add up to logit − baseline_logit
    double error = 0.0;        // standard error of it, from the permutations
  };
  std::vector<feature_share> features;  // in the order of the job
  std::size_t unknown_ids = 0;
};

/// Answers requests from a replica: columns become samples, rows are read, the graph predicts. What
/// is predicted is what a worker with the replica's rows would.
///
///     predictor scores(model, rows);
///     scores.add(request.columns(), true);   // any number of requests, one batch
///     auto all = scores.predict();
///
/// The columns of a user with many candidates are parsed once, and a row is read once however many
/// samples of the batch want it. Parameters of the network are read when the stamp has moved.
/// Plans of the graph are made when a batch of their size comes first, or by `warm`. Single-
/// threaded: one for each scoring thread; model and replica are shared, and a writer may apply
/// deltas meanwhile.
class predictor {
 public:
  static constexpr std::size_t permutations_max = 1'000;
  static constexpr std::size_t explained_samples_max = 8'192;

  /// Tables of the replica's schema are the graph's.
  predictor(std::shared_ptr<const served_model> model, std::shared_ptr<const replica> rows);

  /// Adds the samples of a request: one for each event; where `shared`, event 0 is what the others
  /// have in common and none itself. Fails, and nothing is added: bad_input, too_large.
  result<void> add(const schemas::event_batch& columns, bool shared);
  /// Samples added since `predict`.
  std::size_t samples() const {
    return model_->next_item() ? questions_.size() : std::size_t{batch_.samples};
  }
  /// Of all that was added; then nothing is. Fails: unavailable (the replica is not whole yet).
  result<predictions> predict();

  struct explain_options {
    std::size_t head = 0;
    std::size_t permutations = 64;  // 1 … permutations_max; by twos, each with its reverse
    std::uint64_t seed = 1;
  };
  /// Shapley values of the features, by sampling of their orders (Castro et al., Computers & OR
  /// 36(5), 2009), each order beside its reverse: what is added when a feature gets the
  /// instance's value and no longer its missing one, averaged. Crosses follow those they are made
  /// of. Of the one sample of a request as `add` takes it; what was added for `predict` stays.
  /// Fails: as `add` and `predict`; bad_input (other than one sample, a model of op `next_item`),
  /// too_large (features times permutations).
  result<explanation> explain(const schemas::event_batch& columns,
                              bool shared,
                              const explain_options& how);

  /// Makes the plans for batches of up to `samples`, so that no request waits for it. Fails: as
  /// `predict`.
  result<void> warm(std::size_t samples);

  const served_model& model() const { return *model_; }

 private:
  void begin(schemas::sample_batch& batch) const;
  result<void> add_to(schemas::sample_batch& batch,
                      const schemas::event_batch& columns,
                      bool shared);
  static void append(const worker::event& sample, schemas::sample_batch& batch);
  result<void> score(const schemas::sample_batch& batch,
                     std::vector<float>& probabilities,
                     replica_stamp& stamp);
  result<void> read(std::span<worker::row_set> sets) const;
  result<void> add_questions(const schemas::event_batch& columns, bool shared);
  result<void> score_next(std::vector<float>& scores, replica_stamp& stamp);
  void find_unknown(const schemas::sample_batch& batch, std::span<const predictions::part> of);
  void find_unknown_keys(const worker::row_set& set, std::span<const std::uint32_t> features);
  void count_unknown(std::span<predictions::part> of);

  /// Of a model of op `next_item`: what may come behind the list of a sample of the batch.
  struct question {
    std::size_t sample = 0;
    std::uint64_t item = 0;
  };

  std::shared_ptr<const served_model> model_;
  std::shared_ptr<const replica> rows_;
  worker::batch_scorer scorer_;
  schemas::sample_batch batch_;
  schemas::sample_batch explained_;
  std::vector<predictions::part> parts_;
  std::vector<question> questions_;
  std::vector<predictions::part> question_samples_;             // of the batch, by request
  std::vector<std::uint8_t> question_absent_;                   // [questions] the item has no row
  std::vector<std::pair<std::size_t, std::uint64_t>> unknown_;  // request and key, scratch
  std::vector<std::size_t> request_of_;                         // [samples], scratch
  served_model::cleaned_columns cleaned_;
  worker::event shared_;
  worker::event sample_;
  std::uint64_t network_version_ = 0;  // of the stamp before the parameters that are held
  bool has_network_ = false;           // they are held
};

}  // namespace headrace::serve
