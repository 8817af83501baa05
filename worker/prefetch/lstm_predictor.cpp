#include "worker/prefetch/lstm_predictor.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace headrace::worker {
namespace {

constexpr std::uint32_t stride_classes = 130;  // none, 0, ± 2^0 … 2^63

/// Sign and size of a difference of keys, by powers of two.
std::uint32_t stride_class(std::uint64_t difference) {
  if (difference == 0) return 1;
  const bool down = static_cast<std::int64_t>(difference) < 0;
  const std::uint64_t size = down ? 0 - difference : difference;
  return 2 + 2 * static_cast<std::uint32_t>(std::bit_width(size) - 1) + (down ? 1 : 0);
}

float dot(std::span<const float> weights_and_bias, std::span<const float> hidden) {
  float sum = weights_and_bias.back();
  for (std::size_t i = 0; i < hidden.size(); ++i) sum += weights_and_bias[i] * hidden[i];
  return sum;
}

void add_scaled(std::span<const float> from, float by, std::span<float> into) {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] += from[i] * by;
}

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

}  // namespace

lstm_predictor::lstm_predictor(const settings& given)
    : settings_(given),
      successions_(given.remembered, mix64(given.seed)),
      cell_(given.key_dim + given.stride_dim + given.way_dim,
            given.hidden,
            counter_draw(given.seed, 1, 0)),
      key_in_(given.buckets, given.key_dim, 1.0F, counter_draw(given.seed, 2, 0)),
      stride_in_(stride_classes, given.stride_dim, 1.0F, counter_draw(given.seed, 3, 0)),
      way_in_(succession_memory::ways + 1, given.way_dim, 1.0F, counter_draw(given.seed, 4, 0)),
      key_out_(given.buckets, given.hidden + 1, 0.0F, 0),
      way_out_(succession_memory::ways, given.hidden + 1, 0.0F, 0),
      usual_(succession_memory::ways, 0.0F),
      now_(cell_.zero_state()),
      chunk_begin_(cell_.zero_state()),
      x_(given.key_dim + given.stride_dim + given.way_dim) {
  CHECK(given.chunk >= 1);
  CHECK(given.buckets >= 1);
}

std::uint32_t lstm_predictor::bucket(std::uint64_t key) const {
  return static_cast<std::uint32_t>(counter_draw(settings_.seed, key, 0) % settings_.buckets);
}

lstm_predictor::moment& lstm_predictor::look_at(std::uint64_t key) {
  moment& at = moments_.emplace_back();
  at.key = key;
  at.bucket = bucket(key);
  at.stride = previous_ ? stride_class(key - *previous_) : 0;
  if (previous_) successions_.record(*previous_, key);
  at.way = foreseen(key);
  previous_ = key;
  successions_.propose(key, at.proposals);
  return at;
}

void lstm_predictor::advance(const moment& at, lstm_cell::state& state, lstm_cell::step& done) {
  auto end = x_.begin();
  for (const auto part :
       {key_in_.weights(at.bucket), stride_in_.weights(at.stride), way_in_.weights(at.way)}) {
    end = std::copy(part.begin(), part.end(), end);
  }
  cell_.forward(x_, state, done);
}

float lstm_predictor::logit(const succession_memory::proposal& of,
                            std::span<const float> hidden) const {
  return usual_[of.way] + dot(key_out_.weights(bucket(of.key)), hidden) +
         dot(way_out_.weights(of.way), hidden);
}

std::uint32_t lstm_predictor::foreseen(std::uint64_t key) const {
  const auto found = std::find_if(
      proposed_.begin(), proposed_.end(), [&](const auto& each) { return each.key == key; });
  return found == proposed_.end() ? 0 : found->way + 1;
}

void lstm_predictor::judge(const moment& newest) {
  advance(newest, now_, step_);
  guesses_.clear();
  for (const auto& each : newest.proposals) {
    guesses_.push_back({each.key, sigmoid(logit(each, now_.hidden))});
  }
  if (moments_.size() == settings_.horizon + settings_.chunk) learn();
}

void lstm_predictor::pass(std::uint64_t key) {
  if (previous_) successions_.record(*previous_, key);
  previous_ = key;
  proposed_.clear();
  guesses_.clear();
  if (moments_.empty()) return;
  moments_.clear();
  now_ = cell_.zero_state();
  chunk_begin_ = cell_.zero_state();
}

bool lstm_predictor::used_after(std::size_t at, std::uint64_t key) const {
  const auto from = moments_.begin() + static_cast<std::ptrdiff_t>(at) + 1;
  return std::any_of(from, from + static_cast<std::ptrdiff_t>(settings_.horizon), [&](auto& later) {
    return later.key == key;
  });
}

void lstm_predictor::learn_proposals(std::size_t at,
                                     std::span<const float> hidden,
                                     std::span<float> by_hidden) {
  for (const auto& each : moments_[at].proposals) {
    const std::uint32_t place = bucket(each.key);
    const float wrong = sigmoid(logit(each, hidden)) - (used_after(at, each.key) ? 1.0F : 0.0F);
    add_scaled(key_out_.weights(place), wrong, by_hidden);
    add_scaled(way_out_.weights(each.way), wrong, by_hidden);
    for (const auto gradient : {key_out_.gradient(place), way_out_.gradient(each.way)}) {
      add_scaled(hidden, wrong, gradient.first(hidden.size()));
      gradient.back() += wrong;
    }
  }
}

void lstm_predictor::learn() {
  const std::size_t chunk = settings_.chunk;
  std::vector<lstm_cell::step> steps(chunk);
  std::vector<std::vector<float>> by_hidden(chunk, std::vector<float>(settings_.hidden, 0.0F));
  for (std::size_t at = 0; at < chunk; ++at) {
    advance(moments_[at], chunk_begin_, steps[at]);
    learn_proposals(at, chunk_begin_.hidden, by_hidden[at]);
  }
  lstm_cell::state gradient = cell_.zero_state();
  for (std::size_t at = chunk; at-- > 0;) {
    add_scaled(by_hidden[at], 1.0F, gradient.hidden);
    cell_.backward(steps[at], gradient, x_);
    const std::span<const float> x = x_;
    add_scaled(x.first(settings_.key_dim), 1.0F, key_in_.gradient(moments_[at].bucket));
    add_scaled(x.subspan(settings_.key_dim, settings_.stride_dim),
               1.0F,
               stride_in_.gradient(moments_[at].stride));
    add_scaled(x.last(settings_.way_dim), 1.0F, way_in_.gradient(moments_[at].way));
  }
  cell_.descend(settings_.rate);
  for (std::size_t at = 0; at < chunk; ++at) {
    key_in_.descend(moments_[at].bucket, settings_.rate);
    stride_in_.descend(moments_[at].stride, settings_.rate);
    way_in_.descend(moments_[at].way, settings_.rate);
    for (const auto& each : moments_[at].proposals) {
      key_out_.descend(bucket(each.key), settings_.rate);
      way_out_.descend(each.way, settings_.rate);
    }
  }
  moments_.erase(moments_.begin(), moments_.begin() + static_cast<std::ptrdiff_t>(chunk));
}

}  // namespace headrace::worker
