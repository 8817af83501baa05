#pragma once

#include "storage/engines/message_groups.hpp"
#include "storage/engines/message_stream.hpp"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace headrace::storage {

/// A broker in memory, whose answers can be chosen and whose messages can be spoilt. What it keeps
/// outlives the stream.
class test_message_stream final : public message_stream {
 public:
  struct contents {
    std::map<std::uint64_t, log_message> messages;
    std::uint64_t next = 1;
    std::size_t bytes_max = std::size_t{1} << 20;
    std::size_t finds = 0;
  };
  enum class forgetting : std::uint8_t { works, answer_lost, refused };
  enum class plan : std::uint8_t { place, refuse, lose, answer_lost };

  explicit test_message_stream(std::shared_ptr<contents> kept) : kept_(std::move(kept)) {}

  /// Of the next append that has no plan yet.
  void then(plan what) { plans_.push_back(what); }
  /// Of `forget_before`, from now on.
  void forgets(forgetting how) { forgetting_ = how; }

  result<extent> look() override {
    const auto& all = kept_->messages;
    return extent{all.empty() ? kept_->next : all.begin()->first, kept_->next};
  }
  outcome append(const log_message& message, std::uint64_t at) override {
    const plan what = plans_.empty() ? plan::place : plans_.front();
    if (!plans_.empty()) plans_.pop_front();
    if (what == plan::refuse) return {fate::refused, 0, errc::disk_full, "full"};
    if (what == plan::lose) return {fate::unknown, 0, errc::unavailable, "away"};
    if (at != kept_->next) {
      const auto there = kept_->messages.find(at);
      const bool ours = there != kept_->messages.end() && there->second == message;
      return ours ? outcome{fate::placed, at, errc::ok, {}}
                  : outcome{fate::taken, 0, errc::in_use, {}};
    }
    kept_->messages[kept_->next++] = message;
    if (what == plan::answer_lost) return {fate::unknown, 0, errc::unavailable, "away"};
    return {fate::placed, at, errc::ok, {}};
  }
  result<std::optional<placed>> find(std::uint64_t from, std::uint64_t end) override {
    ++kept_->finds;
    const auto one = kept_->messages.lower_bound(from);
    if (one == kept_->messages.end() || one->first >= end) return std::optional<placed>{};
    return std::optional(placed{one->first, one->second});
  }
  result<void> read(std::uint64_t from, std::uint64_t end, const visitor& visit) override {
    if (from < end && from < look()->first) return error{errc::not_found, "what was there is gone"};
    for (auto one = kept_->messages.lower_bound(from);
         one != kept_->messages.end() && one->first < end;
         ++one) {
      const auto more = visit({one->first, one->second});
      if (!more) return more.error();
      if (!*more) break;
    }
    return {};
  }
  result<void> forget_before(std::uint64_t position) override {
    if (forgetting_ == forgetting::refused) return {};
    kept_->messages.erase(kept_->messages.begin(), kept_->messages.lower_bound(position));
    if (forgetting_ == forgetting::answer_lost) return error{errc::unavailable, "away"};
    return {};
  }
  std::size_t bytes_max() const override { return kept_->bytes_max; }
  std::uint64_t bytes() const override { return 0; }
  std::string name() const override { return "stream TEST"; }

 private:
  std::shared_ptr<contents> kept_;
  std::deque<plan> plans_;
  forgetting forgetting_ = forgetting::works;
};

}  // namespace headrace::storage
