#include "worker/prefetch/prefetch_trial.hpp"

#include "base/check.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

constexpr std::uint8_t count_max = 3;  // as in the rows' headers
constexpr std::uint32_t wins_to_turn_on = 2;
constexpr std::uint64_t shadow_seed = 0x5EED;

double share(double part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : part / static_cast<double>(whole);
}

}  // namespace

double prefetch_trial::figures::gain() const {
  return share(static_cast<double>(hits_with) - static_cast<double>(hits_without), keys);
}
double prefetch_trial::figures::useful_share() const {
  return share(static_cast<double>(useful), fetched);
}
prefetch_trial::figures& prefetch_trial::figures::operator+=(const figures& more) {
  keys += more.keys;
  hits_without += more.hits_without;
  hits_with += more.hits_with;
  fetched += more.fetched;
  useful += more.useful;
  return *this;
}

prefetch_trial::prefetch_trial(const settings& given)
    : settings_(given),
      without_(given.rows, count_max, shadow_seed),
      with_(given.rows, count_max, shadow_seed),
      guessed_(given.rows, false),
      rest_(given.rest) {
  CHECK(given.window >= 1);
}

void prefetch_trial::install_with(std::uint64_t key, bool guessed) {
  guessed_[with_.install(key)] = guessed;
}

void prefetch_trial::fetch(std::uint64_t key) {
  CHECK(running());
  install_with(key, true);
  ++window_.fetched;
}

void prefetch_trial::use(std::uint64_t key) {
  ++window_.keys;
  const std::uint32_t plain = without_.find(key);
  if (plain == second_chance::none) {
    without_.install(key);
  } else {
    without_.touch(plain);
    ++window_.hits_without;
  }
  if (running()) {
    const std::uint32_t slot = with_.find(key);
    if (slot == second_chance::none) {
      install_with(key, false);
    } else {
      ++window_.hits_with;
      // The use it was fetched for is no second use: without prefetch it would have been the miss.
      if (!guessed_[slot]) with_.touch(slot);
      window_.useful += guessed_[slot] ? 1 : 0;
      guessed_[slot] = false;
    }
  }
  if (window_.keys == settings_.window) judge();
}

void prefetch_trial::judge() {
  const figures judged = window_;
  window_ = {};
  if (phase_ == phase::off) {
    if (--resting_ > 0) return;
    phase_ = phase::trial;
    lost_ = 0;
    with_ = without_;
    std::fill(guessed_.begin(), guessed_.end(), false);
    return;
  }
  last_ = judged;
  all_ += judged;
  ++windows_;
  if (phase_ == phase::on) {
    on_ += judged;
    ++windows_on_;
  }
  const bool beats =
      judged.gain() >= settings_.gain_min && judged.useful_share() >= settings_.useful_min;
  if (beats) {
    lost_ = 0;
    if (++won_ < wins_to_turn_on) return;
    phase_ = phase::on;
    rest_ = settings_.rest;
    return;
  }
  won_ = 0;
  phase_ = phase::trial;
  if (++lost_ < settings_.trials_max) return;
  phase_ = phase::off;
  resting_ = rest_;
  rest_ = std::min(rest_ * 2, settings_.rest_max);
}

std::uint64_t prefetch_trial::keys_to_trial() const {
  return phase_ == phase::off ? resting_ * settings_.window - window_.keys : 0;
}

}  // namespace headrace::worker
