#include "serve/feature_orders.hpp"
#include "serve/predictor.hpp"

#include <array>
#include <cmath>

/// What each feature adds to a prediction.
namespace headrace::serve {
namespace {

double logit_of(float probability) {
  constexpr double least = 0x1.0p-24;
  const double p = std::clamp(static_cast<double>(probability), least, 1.0 - least);
  return std::log(p / (1.0 - p));
}

// One instance feature by feature: those that it has, and samples of some of them.
class partial_instance {
 public:
  partial_instance(const served_model& model, const worker::event& whole)
      : model_(model), whole_(whole) {
    model.nothing(nothing_);
    std::size_t key = 0;
    std::size_t list = 0;
    std::size_t token = 0;
    for (std::size_t f = 0; f < model.features().size(); ++f) {
      if (model.is_list(f)) {
        const std::size_t length = whole.lengths[list];
        if (length > 0) there_.push_back({f, list, token});
        token += length;
        ++list;
      } else {
        if (differs(key)) there_.push_back({f, key, 0});
        ++key;
      }
    }
  }

  /// Features that it has.
  std::size_t size() const { return there_.size(); }
  std::size_t feature(std::size_t i) const { return there_[i].feature; }
  const worker::event& nothing() const { return nothing_; }

  /// Of those features whose `with` is 1; the others are as if they had not been sent.
  void write(std::span<const std::uint8_t> with, worker::event& into) const {
    into = nothing_;
    for (std::size_t i = 0; i < there_.size(); ++i) {
      const place& at = there_[i];
      if (with[i] == 0) continue;
      if (model_.is_list(at.feature)) {
        const auto from = whole_.sequence_keys.begin() + static_cast<std::ptrdiff_t>(at.token);
        into.lengths[at.slot] = whole_.lengths[at.slot];
        into.sequence_keys.insert(into.sequence_keys.end(), from, from + into.lengths[at.slot]);
      } else {
        into.keys[at.slot] = whole_.keys[at.slot];
        if (!into.values.empty()) into.values[at.slot] = whole_.values[at.slot];
      }
    }
    model_.cross(into);
  }

 private:
  struct place {
    std::size_t feature;
    std::size_t slot;   // of a key, or of a list
    std::size_t token;  // of a list: its first
  };
  bool differs(std::size_t key) const {
    return whole_.keys[key] != nothing_.keys[key] ||
           (!whole_.values.empty() && whole_.values[key] != nothing_.values[key]);
  }

  const served_model& model_;
  const worker::event& whole_;
  worker::event nothing_;
  std::vector<place> there_;
};

}  // namespace

result<explanation> predictor::explain(const schemas::event_batch& columns,
                                       bool shared,
                                       const explain_options& how) {
  CHECK(how.head < model_->heads().size());
  if (how.permutations == 0 || how.permutations > permutations_max) {
    return error{errc::bad_input,
                 "permutations: 1 to " + std::to_string(permutations_max) + " are accepted"};
  }
  if (model_->next_item())
    return error{errc::bad_input, "what comes next is ranked, not predicted: it is not explained"};
  begin(explained_);
  if (auto added = add_to(explained_, columns, shared); !added) return added.error();
  if (explained_.samples != 1)
    return error{errc::bad_input,
                 "one instance is explained, there are " + std::to_string(explained_.samples)};
  const worker::event whole = sample_;
  const partial_instance parts(*model_, whole);
  const feature_orders orders(parts.size(), how.permutations, how.seed);
  if (2 + orders.states() > explained_samples_max) {
    return error{errc::too_large,
                 "permutations: " + std::to_string(how.permutations) + " of " +
                     std::to_string(parts.size()) + " features are more than the " +
                     std::to_string(explained_samples_max) + " samples that are computed"};
  }
  append(parts.nothing(), explained_);
  orders.for_each_state([&](std::span<const std::uint8_t> with) {
    parts.write(with, sample_);
    append(sample_, explained_);
  });

  explanation made;
  std::vector<float> probabilities;
  if (auto scored = score(explained_, probabilities, made.stamp); !scored) return scored.error();
  std::array<predictions::part, 1> instance{{{0, 1, 0}}};
  find_unknown(explained_, instance);
  count_unknown(instance);
  made.unknown_ids = instance[0].unknown_ids;

  const std::size_t heads = model_->heads().size();
  std::vector<double> logits(explained_.samples);
  for (std::size_t s = 0; s < logits.size(); ++s)
    logits[s] = logit_of(probabilities[s * heads + how.head]);
  made.probability = probabilities[how.head];
  made.logit = logits[0];
  made.baseline_logit = logits[1];
  for (const std::string& name : model_->features()) made.features.push_back({name, 0.0, 0.0});
  const auto shares = orders.shares(logits[1], logits[0], std::span(logits).subspan(2));
  for (std::size_t i = 0; i < shares.size(); ++i) {
    auto& share = made.features[parts.feature(i)];
    share.logit = shares[i].mean;
    share.error = shares[i].error;
  }
  return made;
}

}  // namespace headrace::serve
