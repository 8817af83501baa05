#include "base/random.hpp"
#include "worker/events/event_generator.hpp"
#include "worker/join/test_joins.hpp"
#include "worker/metrics/score_book.hpp"
#include "worker/model/graph_model.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

/// From generated events with planted rates, through a joiner that keeps some of the negatives, to
/// what a model predicts of all impressions.
namespace headrace::worker {
namespace {

// Users and items are many; what is learned here is the effect of the position and the rates.
constexpr const char* two_labels = R"(
[layers.embedding]
op = "rows"
dim = 0
[layers.click_logit]
op = "factorization"
inputs = ["embedding"]
bias_table = "click_bias"
[layers.click]
op = "bce"
inputs = ["click_logit"]
label = 1
[layers.buy_rows]
op = "rows"
dim = 0
[layers.buy_logit]
op = "factorization"
inputs = ["buy_rows"]
bias_table = "buy_bias"
[layers.buy]
op = "bce"
inputs = ["buy_logit"]
label = 2
)";
constexpr const char* one_label = R"(
[layers.embedding]
op = "rows"
dim = 0
[layers.click_logit]
op = "factorization"
inputs = ["embedding"]
bias_table = "click_bias"
[layers.click]
op = "bce"
inputs = ["click_logit"]
)";

/// A worker and its shards in a page: Adagrad on every row.
class small_worker {
 public:
  small_worker(const char* layers, float share)
      : graph_(std::make_shared<const model_graph>(std::move(*model_graph::load(
            layers, "test", {}, std::vector<model_feature>{{"position", false}})))),
        model_(graph_) {
    model_.correct_negatives(share);
  }

  const model_graph& graph() const { return *graph_; }

  /// Predicts and learns.
  std::vector<float> learn(const schemas::sample_batch& batch) {
    take(batch);
    std::vector<float> predicted(batch.samples * graph_->heads().size());
    EXPECT_TRUE(model_.learn(batch, sets_, predicted));
    for (const row_set& set : sets_) {
      for (std::size_t i = 0; i < set.gradients.size(); ++i) {
        auto& [weight, squares] = rows_[{set.table.value, set.keys[i / set.dim], i % set.dim}];
        squares += set.gradients[i] * set.gradients[i];
        weight -= 0.2F * set.gradients[i] / std::sqrt(squares + 1e-6F);
      }
    }
    return predicted;
  }
  std::vector<float> predict(const schemas::sample_batch& batch) {
    take(batch);
    std::vector<float> predicted(batch.samples * graph_->heads().size());
    model_.predict(batch, sets_, predicted);
    return predicted;
  }

 private:
  void take(const schemas::sample_batch& batch) {
    model_.plan(batch, sets_);
    model_.plan_network(sets_);
    for (row_set& set : sets_) {
      for (std::size_t i = 0; i < set.values.size(); ++i)
        set.values[i] = rows_[{set.table.value, set.keys[i / set.dim], i % set.dim}].first;
    }
  }

  std::shared_ptr<const model_graph> graph_;
  graph_model model_;
  std::vector<row_set> sets_;
  std::map<std::tuple<std::uint32_t, std::uint64_t, std::size_t>, std::pair<float, float>> rows_;
};

struct learned {
  double kept = 0.0;                // samples, of all impressions
  std::vector<double> rate;         // of each label, of all impressions
  std::vector<double> predicted;    // the mean over all impressions
  std::vector<double> true_loss;    // of what is predicted of all impressions
  std::vector<double> calibration;  // as a run would say so, of its second half
  std::vector<double> logloss;      // the same
  std::vector<double> positive_share;
};

class planted_stream {
 public:
  explicit planted_stream(std::uint32_t labels) {
    generator_spec spec;
    spec.events = 120'000;
    spec.click_rate = 0.04;
    spec.buy_rate = 0.3;
    spec.drift_every = 0;
    spec.delay_mean_ms = 10;  // a purchase comes within 2.2 s
    event_generator generator(spec);
    generated_event one;
    while (generator.next(one)) {
      const std::string key = std::to_string(one.impression);
      if (one.kind == generated_kind::impression) {
        calls_.push_back(impression(key, one.time_ms));
        calls_.back().payload = std::string(1, static_cast<char>(one.position));
        shown_.push_back({one.position, {one.clicked ? 1.0F : 0.0F, one.bought ? 1.0F : 0.0F}});
      } else if (const auto kind = one.kind == generated_kind::click ? 0U : 1U; kind < labels) {
        calls_.push_back(action(key, one.time_ms, kind));
      }
    }
    calls_.push_back(finish());
    labels_ = labels;
  }

  learned learn(float share) const {
    small_worker worker(labels_ == 1 ? one_label : two_labels, share);
    join_spec how;
    how.window_ms = 2'500;  // of two minutes: negatives come so much later than positives
    how.actions = labels_;
    how.negative_share = share;
    auto sent = run(how, calls_);
    random_stream draw(7);  // negatives come behind positives, and alone at the end
    for (std::size_t i = sent.size(); i > 1; --i) std::swap(sent[i - 1], sent[draw.next_below(i)]);
    std::vector<scored_head> heads;
    for (const auto& head : worker.graph().heads()) heads.push_back({head.name, head.label});
    constexpr int passes = 5;  // the last is scored
    score_book book(sent.size() / 2, heads, share);
    for (int pass = 0; pass < passes; ++pass) {
      book = score_book(sent.size() / 2, heads, share);
      schemas::sample_batch batch = empty();
      for (std::size_t i = 0; i < sent.size(); ++i) {
        add(batch, i, static_cast<std::uint32_t>(sent[i].payload[0]), [&](std::uint32_t l) {
          return (sent[i].actions >> l & 1U) != 0 ? 1.0F : 0.0F;
        });
        if (batch.samples < 32 && i + 1 < sent.size()) continue;
        batch.batch = batch_number{book.through().value + 1};
        book.add(batch, worker.learn(batch), {});
        batch = empty();
      }
    }
    return figures(worker, book, static_cast<double>(sent.size()));
  }

 private:
  struct shown {
    std::uint32_t position = 0;
    std::array<float, 2> labels{};
  };

  schemas::sample_batch empty() const {
    schemas::sample_batch made;
    made.features = 1;
    made.label_count = labels_;
    return made;
  }
  template <class Label>
  void add(schemas::sample_batch& to,
           std::uint64_t row,
           std::uint32_t position,
           Label label) const {
    ++to.samples;
    to.row_numbers.push_back(row);
    to.keys.push_back(position);
    for (std::uint32_t l = 0; l < labels_; ++l) to.labels.push_back(label(l));
  }

  learned figures(small_worker& worker, const score_book& book, double sent) const {
    learned made;
    const double n = static_cast<double>(shown_.size());
    made.kept = sent / n;
    made.rate.resize(labels_);
    made.predicted.resize(labels_);
    made.true_loss.resize(labels_);
    schemas::sample_batch batch = empty();
    for (std::size_t i = 0; i < shown_.size(); ++i)
      add(batch, i, shown_[i].position, [&](std::uint32_t l) { return shown_[i].labels[l]; });
    const auto predicted = worker.predict(batch);
    for (std::size_t i = 0; i < predicted.size(); ++i) {
      const double p = static_cast<double>(predicted[i]);
      const bool is = batch.labels[i] > 0.5F;
      made.rate[i % labels_] += is ? 1.0 / n : 0.0;
      made.predicted[i % labels_] += p / n;
      made.true_loss[i % labels_] -= std::log(is ? p : 1.0 - p) / n;
    }
    for (std::uint32_t l = 0; l < labels_; ++l) {
      const auto& half = book.of(l).second_half;
      made.calibration.push_back(half.calibration());
      made.logloss.push_back(half.logloss());
      made.positive_share.push_back(half.positive_share());
    }
    return made;
  }

  std::uint32_t labels_ = 1;
  std::vector<join_call> calls_;
  std::vector<shown> shown_;
};

// Rates are of about 4,500 clicks and 1,300 purchases, of which each half is off by 1 / sqrt(its
// number); four times that, and as much again for what was learned last.
void expect_true_rates(std::uint32_t labels) {
  const planted_stream stream(labels);
  const learned all = stream.learn(1.0F);
  const learned tenth = stream.learn(0.1F);
  EXPECT_EQ(all.kept, 1.0);
  EXPECT_LT(tenth.kept, 0.15);
  for (std::uint32_t l = 0; l < labels; ++l) {
    SCOPED_TRACE(l == 0 ? "click" : "buy");
    const double bound = l == 0 ? 0.12 : 0.22;
    EXPECT_NEAR(all.rate[l], l == 0 ? 0.04 : 0.012, l == 0 ? 0.006 : 0.003);
    for (const learned* one : {&all, &tenth}) {
      EXPECT_NEAR(one->predicted[l] / one->rate[l], 1.0, bound);
      EXPECT_NEAR(one->calibration[l], 1.0, bound);
      EXPECT_NEAR(one->positive_share[l] / one->rate[l], 1.0, bound);
      EXPECT_NEAR(one->logloss[l] / one->true_loss[l], 1.0, bound);
    }
    EXPECT_NEAR(tenth.predicted[l] / all.predicted[l], 1.0, bound);
    EXPECT_NEAR(tenth.true_loss[l], all.true_loss[l], 0.01 * all.true_loss[l]);
  }
}

TEST(NegativeSampling, OneLabelIsPredictedAtItsTrueRate) { expect_true_rates(1); }
TEST(NegativeSampling, SeveralLabelsArePredictedAtTheirTrueRates) { expect_true_rates(2); }

}  // namespace
}  // namespace headrace::worker
