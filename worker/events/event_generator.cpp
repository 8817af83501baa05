#include "worker/events/event_generator.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t latent_values = 4;
// Of repeats within 100 requests so many are of the last one, and the others' distance is even in
// its logarithm (docs/events-generator.md).
constexpr std::size_t recent_max = 100;
constexpr double repeats_at_once = 0.15;
constexpr std::uint64_t categories = 50;
constexpr std::uint32_t positions = 10;
constexpr double buy_delay = 10.0;        // times the click's
constexpr double delay_means_max = 20.0;  // longer ones are cut: 2 in a thousand million
constexpr double burst_every_ms = 10'000.0;
constexpr double burst_ms = 1'000.0;
constexpr double pending_most = 10e6;
constexpr double first_order = 0.5;
constexpr double taste = 0.45;
constexpr double position_effect = 0.12;

// Streams of draws, apart by purpose.
constexpr std::uint64_t of_items = 0x17E3;
constexpr std::uint64_t of_users = 0x05E6;
constexpr std::uint64_t of_buys = 0xB07;
constexpr std::uint64_t of_prices = 0x9E1CE;
constexpr std::uint64_t of_phases = 0xD61F7;
constexpr std::uint64_t of_biases = 0xB1A5;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// About normal: the sum of four uniforms, mean 0, variance 1.
double normal(std::uint64_t seed, std::uint64_t key, std::uint64_t i) {
  double sum = 0.0;
  for (std::uint64_t k = 0; k < 4; ++k) sum += unit_double(counter_draw(seed, key, 4 * i + k));
  return (sum - 2.0) * std::sqrt(3.0);
}

double loss(double p, bool happened) {
  constexpr double least = 1e-15;
  return -std::log(std::max(happened ? p : 1.0 - p, least));
}

std::string id_of(const generated_event& event, std::uint64_t seed) {
  constexpr char mark[] = {'i', 'c', 'b'};
  return std::to_string(seed) + "-" + std::to_string(event.impression) +
         mark[static_cast<std::size_t>(event.kind)];
}

std::string key_of(const generated_event& event) { return "r" + std::to_string(event.impression); }

std::string_view action_of(const generated_event& event) {
  return event.kind == generated_kind::click ? "click" : "buy";
}

/// Cents, so that texts and numbers say the same.
std::string price_text(double price) {
  const auto cents = static_cast<std::uint64_t>(std::llround(price * 100.0));
  const auto rest = std::to_string(100 + cents % 100).substr(1);
  return std::to_string(cents / 100) + "." + rest;
}

/// How many impressions ago the item was shown: 1 … recent_max.
std::size_t repeat_distance(double unit) {
  const double rest = std::max(0.0, unit - repeats_at_once) / (1.0 - repeats_at_once);
  return static_cast<std::size_t>(std::pow(static_cast<double>(recent_max), rest));
}

error refuse(const char* flag, const char* accepted) {
  return {errc::bad_config, std::string(flag) + ": " + accepted};
}

}  // namespace

result<void> check(const generator_spec& spec) {
  const auto within = [](double value, double low, double high) {
    return value >= low && value <= high;  // false for what is no number
  };
  constexpr std::uint64_t most = 1'000'000'000'000;
  if (spec.events > most) return refuse("--events", "at most 1e12");
  if (spec.users < 1 || spec.users > most) return refuse("--users", "1 to 1e12");
  if (spec.items < 1 || spec.items > most) return refuse("--items", "1 to 1e12");
  if (!within(spec.zipf, 0.01, 5.0)) return refuse("--zipf", "0.01 to 5");
  if (!within(spec.repeat_share, 0.0, 0.99)) return refuse("--repeat", "0 to 0.99");
  if (!within(spec.click_rate, 0.0001, 0.9)) return refuse("--click-rate", "0.0001 to 0.9");
  if (!within(spec.buy_rate, 0.0, 0.9)) return refuse("--buy-rate", "0 to 0.9");
  if (!within(spec.burst, 1.0, 1'000.0)) return refuse("--burst", "1 to 1000");
  if (!within(spec.rate, 0.001, 1e8)) return refuse("--rate", "0.001 to 1e8 events a second");
  if (spec.delay_mean_ms > 30ULL * 24 * 3'600'000) return refuse("--delay-mean", "at most 30 days");
  const double pending = spec.rate * spec.burst * spec.click_rate *
                         static_cast<double>(spec.delay_mean_ms) * buy_delay / 1'000.0;
  if (pending > pending_most) {
    return refuse("--delay-mean", "shorter, or a lower --rate: too many actions would be pending");
  }
  return {};
}

event_generator::event_generator(const generator_spec& spec)
    : spec_(spec),
      random_(spec.seed),
      item_ranks_(spec.zipf, spec.items),
      user_ranks_(spec.zipf, spec.users) {
  find_biases();
}

/// Bisection over a sample of impressions of its own, so that the rates come out as asked.
void event_generator::find_biases() {
  constexpr std::size_t sample = 4'096;
  random_stream random(mix64(spec_.seed ^ of_biases));
  std::vector<preference> drawn;
  for (std::size_t i = 0; i < sample; ++i) {
    generated_event shown;
    shown.user = user_ranks_(random);
    shown.item = item_ranks_(random);
    shown.position = 1 + static_cast<std::uint32_t>(random.next_below(positions));
    drawn.push_back(prefer(shown));
  }
  const auto solve = [&](double target, const auto& rate_at) {
    double low = -30.0;
    double high = 30.0;
    for (int i = 0; i < 60; ++i) {
      const double middle = 0.5 * (low + high);
      (rate_at(middle) < target ? low : high) = middle;
    }
    return 0.5 * (low + high);
  };
  click_bias_ = solve(spec_.click_rate, [&](double bias) {
    double sum = 0.0;
    for (const auto& one : drawn) sum += sigmoid(one.click + bias);
    return sum / sample;
  });
  buy_bias_ = solve(spec_.buy_rate, [&](double bias) {  // among clicks
    double sum = 0.0;
    double weight = 0.0;
    for (const auto& one : drawn) {
      const double click = sigmoid(one.click + click_bias_);
      sum += click * sigmoid(one.buy + bias);
      weight += click;
    }
    return sum / weight;
  });
}

event_generator::preference event_generator::prefer(const generated_event& shown) const {
  const bool shifted = spec_.shift_at != 0 && shown.impression >= spec_.shift_at;
  const std::uint64_t likes = mix64(spec_.seed + (shifted ? 1 : 0));
  preference made;
  made.click = first_order * normal(spec_.seed ^ of_items, shown.item, 0) +
               first_order * normal(likes ^ of_users, shown.user, 0) -
               position_effect * static_cast<double>(shown.position);
  for (std::size_t l = 1; l <= latent_values; ++l) {
    made.click += taste * normal(spec_.seed ^ of_items, shown.item, l) *
                  normal(likes ^ of_users, shown.user, l);
  }
  made.buy = first_order * normal(spec_.seed ^ of_buys, shown.item, 0) +
             first_order * normal(likes ^ of_buys, ~shown.user, 0);
  return made;
}

/// The next impression's time: a Poisson process, faster in the first second of every ten.
void event_generator::draw_clock() {
  const double actions = spec_.click_rate * (1.0 + spec_.buy_rate);
  const double impressions_per_ms = spec_.rate / (1.0 + actions) / 1'000.0;
  const double burst_share = burst_ms / burst_every_ms;
  const double quiet = impressions_per_ms / (1.0 - burst_share + burst_share * spec_.burst);
  double left = -std::log(1.0 - random_.next_unit());  // expected events until then
  for (;;) {
    const double phase = std::fmod(clock_ms_, burst_every_ms);
    const bool bursting = phase < burst_ms;
    const double rate = bursting ? quiet * spec_.burst : quiet;
    const double until_change = (bursting ? burst_ms : burst_every_ms) - phase;
    if (left <= rate * until_change || until_change <= 0.0) break;
    left -= rate * until_change;
    clock_ms_ += until_change;
  }
  const bool bursting = std::fmod(clock_ms_, burst_every_ms) < burst_ms;
  clock_ms_ += left / (bursting ? quiet * spec_.burst : quiet);
}

/// One of the last items, or by rank; a rank's item changes once in `drift_every` impressions.
std::uint64_t event_generator::draw_item() {
  if (random_.next_unit() < spec_.repeat_share && !recent_items_.empty()) {
    const std::size_t distance = repeat_distance(random_.next_unit());
    return recent_items_[recent_items_.size() - std::min(distance, recent_items_.size())];
  }
  const std::uint64_t rank = item_ranks_(random_);
  if (spec_.drift_every == 0) return rank;
  const std::uint64_t phase = counter_draw(spec_.seed, of_phases, rank) % spec_.drift_every;
  const std::uint64_t era = (impressions_ + phase) / spec_.drift_every;
  return era == 0 ? rank : 1 + counter_draw(spec_.seed ^ era, of_phases, rank) % spec_.items;
}

void event_generator::draw_impression() {
  draw_clock();
  shown_ = {};
  shown_.impression = impressions_;
  shown_.time_ms = spec_.start_ms + static_cast<std::uint64_t>(clock_ms_);
  shown_.user = user_ranks_(random_);
  shown_.item = draw_item();
  shown_.category = static_cast<std::uint32_t>(mix64(shown_.item) % categories);
  shown_.position = 1 + static_cast<std::uint32_t>(random_.next_below(positions));
  const double price = unit_double(counter_draw(spec_.seed, of_prices, shown_.item));
  shown_.price = std::round(100.0 * (1.0 + 99.0 * price * price)) / 100.0;
  recent_items_.push_back(shown_.item);
  if (recent_items_.size() > recent_max) recent_items_.pop_front();
  is_drawn_ = true;
}

void event_generator::draw_outcome() {
  const preference likes = prefer(shown_);
  const double buy_of_click = spec_.buy_rate > 0.0 ? sigmoid(likes.buy + buy_bias_) : 0.0;
  shown_.click_truth = sigmoid(likes.click + click_bias_);
  shown_.buy_truth = shown_.click_truth * buy_of_click;
  shown_.clicked = random_.next_unit() < shown_.click_truth;
  shown_.bought = random_.next_unit() < buy_of_click && shown_.clicked;
  const auto mean = static_cast<double>(spec_.delay_mean_ms);
  const auto delay = [&] {
    return mean * std::min(delay_means_max, -std::log(1.0 - random_.next_unit()));
  };
  const double to_click = delay();
  const double to_buy = to_click + buy_delay * delay();
  if (shown_.clicked) schedule(generated_kind::click, to_click);
  if (shown_.bought) schedule(generated_kind::buy, to_buy);
  ++truth_.impressions;
  truth_.clicks += shown_.clicked ? 1 : 0;
  truth_.buys += shown_.bought ? 1 : 0;
  truth_.click_logloss += loss(shown_.click_truth, shown_.clicked);
  truth_.buy_logloss += loss(shown_.buy_truth, shown_.bought);
}

void event_generator::schedule(generated_kind kind, double delay_ms) {
  pending action;
  action.event.kind = kind;
  action.event.impression = shown_.impression;
  action.event.time_ms = shown_.time_ms + static_cast<std::uint64_t>(delay_ms);
  action.number = scheduled_++;
  actions_.push(action);
}

bool event_generator::next(generated_event& into) {
  if (given_ == spec_.events) return false;
  if (!is_drawn_) draw_impression();
  ++given_;
  if (!actions_.empty() && actions_.top().event.time_ms < shown_.time_ms) {
    into = actions_.top().event;
    actions_.pop();
    return true;
  }
  draw_outcome();
  into = shown_;
  ++impressions_;
  is_drawn_ = false;
  return true;
}

generator_truth event_generator::truth() const {
  generator_truth found = truth_;
  if (found.impressions == 0) return found;
  const auto n = static_cast<double>(found.impressions);
  found.click_logloss /= n;
  found.buy_logloss /= n;
  const double rate = static_cast<double>(found.clicks) / n;
  found.click_logloss_of_rate = rate * loss(rate, true) + (1.0 - rate) * loss(rate, false);
  return found;
}

void append_json_event(const generated_event& event, std::uint64_t seed, std::string& into) {
  into += "{\"id\":\"" + id_of(event, seed) + "\",\"key\":\"" + key_of(event) +
          "\",\"time\":" + std::to_string(event.time_ms);
  if (event.kind != generated_kind::impression) {
    into += ",\"action\":\"";
    into += action_of(event);
    into += "\"}\n";
    return;
  }
  into += ",\"features\":{\"user\":\"u" + std::to_string(event.user) + "\",\"item\":\"i" +
          std::to_string(event.item) + "\",\"category\":\"c" + std::to_string(event.category) +
          "\",\"price\":" + price_text(event.price) +
          ",\"position\":" + std::to_string(event.position) + "}}\n";
}

void append_csv_event(const generated_event& event, std::uint64_t seed, std::string& into) {
  into += id_of(event, seed) + "," + key_of(event) + "," + std::to_string(event.time_ms) + ",";
  if (event.kind != generated_kind::impression) {
    into += action_of(event);
    into += ",,,,,\n";
    return;
  }
  into += ",u" + std::to_string(event.user) + ",i" + std::to_string(event.item) + ",c" +
          std::to_string(event.category) + "," + price_text(event.price) + "," +
          std::to_string(event.position) + "\n";
}

void add_event(const generated_event& event,
               std::uint64_t seed,
               schemas::event_batch_builder& into) {
  into.event(id_of(event, seed), key_of(event), event.time_ms);
  if (event.kind != generated_kind::impression) {
    into.action(into.name(action_of(event)));
    return;
  }
  into.text(into.name("user"), "u" + std::to_string(event.user));
  into.text(into.name("item"), "i" + std::to_string(event.item));
  into.text(into.name("category"), "c" + std::to_string(event.category));
  into.number(into.name("price"), event.price);
  into.integer(into.name("position"), static_cast<std::int64_t>(event.position));
}

}  // namespace headrace::worker
