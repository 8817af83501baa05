#pragma once

#include "base/random.hpp"
#include "base/result.hpp"
#include "base/zipf.hpp"
#include "schemas/event.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <queue>
#include <string>
#include <vector>

namespace headrace::worker {

/// A stream of impressions and of the clicks and purchases that come of them. Defaults that have a
/// source are derived from public key traces (docs/events-generator.md says how).
struct generator_spec {
  std::uint64_t events = 100'000;  // impressions and actions together
  std::uint64_t users = 100'000;
  std::uint64_t items = 20'000;
  double zipf = 0.84;                   // exponent of items and users
  double repeat_share = 0.2;            // of impressions that show one of the last 100 items again
  std::uint64_t drift_every = 130'000;  // impressions: each rank gets another item; 0: never
  double click_rate = 0.05;             // of impressions, on average
  double buy_rate = 0.1;                // of clicks
  std::uint64_t delay_mean_ms = 5'000;  // impression to click; a purchase takes ten times as long
  double burst = 1.0;                   // a second in ten has so many times the rate of the others
  std::uint64_t shift_at = 0;  // impression from which on users like other things; 0: never
  std::uint64_t seed = 20'240'601;
  double rate = 1'000.0;                       // events a second, of event time
  std::uint64_t start_ms = 1'767'225'600'000;  // 2026-01-01
};
/// Fails: bad_config, naming the flag and what is accepted.
result<void> check(const generator_spec& spec);

enum class generated_kind : std::uint8_t { impression = 0, click = 1, buy = 2 };

struct generated_event {
  generated_kind kind = generated_kind::impression;
  std::uint64_t impression = 0;  // number of the impression it is, or came of
  std::uint64_t time_ms = 0;
  // Of impressions.
  std::uint64_t user = 0;
  std::uint64_t item = 0;
  std::uint32_t category = 0;
  std::uint32_t position = 0;  // 1 … 10
  double price = 0.0;
  double click_truth = 0.0;  // probability of a click
  double buy_truth = 0.0;    // of a click and a purchase
  // What will come of it, known to the generator alone.
  bool clicked = false;
  bool bought = false;
};

/// How well the true model itself does: no learner can be expected to do better.
struct generator_truth {
  std::uint64_t impressions = 0;
  std::uint64_t clicks = 0;  // that come of the impressions, behind the end too
  std::uint64_t buys = 0;
  double click_logloss = 0.0;
  double buy_logloss = 0.0;
  double click_logloss_of_rate = 0.0;  // of who knows the click rate and nothing else
};

/// Draws events in the order of their time. The same spec gives the same events on every run (of
/// one libm). One thread; memory grows with the actions that are still to come.
///
/// Whether an impression is clicked follows from a planted preference: users and items have four
/// latent values each, items a quality, users a mood, positions and prices an effect; the bias is
/// set so that the mean is `click_rate`. Purchases likewise, of clicks.
class event_generator {
 public:
  /// The spec has passed `check`.
  explicit event_generator(const generator_spec& spec);

  /// False at the end.
  bool next(generated_event& into);
  generator_truth truth() const;

 private:
  struct pending {
    generated_event event;
    std::uint64_t number = 0;  // so that equal times have an order
  };
  struct later {
    bool operator()(const pending& a, const pending& b) const {
      return a.event.time_ms != b.event.time_ms ? a.event.time_ms > b.event.time_ms
                                                : a.number > b.number;
    }
  };
  struct preference {
    double click = 0.0;  // without bias
    double buy = 0.0;
  };
  void draw_impression();
  void draw_clock();
  std::uint64_t draw_item();
  void draw_outcome();
  preference prefer(const generated_event& shown) const;
  void find_biases();
  void schedule(generated_kind kind, double delay_ms);

  generator_spec spec_;
  random_stream random_;
  zipf_rejection_inversion item_ranks_;
  zipf_rejection_inversion user_ranks_;
  double clock_ms_ = 0.0;  // since start
  double click_bias_ = 0.0;
  double buy_bias_ = 0.0;
  std::uint64_t given_ = 0;
  std::uint64_t impressions_ = 0;
  std::uint64_t scheduled_ = 0;
  generated_event shown_;  // the next impression
  bool is_drawn_ = false;
  std::deque<std::uint64_t> recent_items_;
  std::priority_queue<pending, std::vector<pending>, later> actions_;
  generator_truth truth_;  // losses as sums
};

/// One line of JSON as fronts take it, with its line end.
void append_json_event(const generated_event& event, std::uint64_t seed, std::string& into);
/// id,key,time,action,user,item,category,price,position: what an action does not have is empty.
void append_csv_event(const generated_event& event, std::uint64_t seed, std::string& into);
inline constexpr std::string_view csv_event_header =
    "id,key,time,action,user,item,category,price,position\n";
/// The same columns.
void add_event(const generated_event& event,
               std::uint64_t seed,
               schemas::event_batch_builder& into);

}  // namespace headrace::worker
