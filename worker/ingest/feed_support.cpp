#include "worker/ingest/feed_support.hpp"

#include "base/log.hpp"
#include "base/parse_number.hpp"

#include <algorithm>
#include <limits>

namespace headrace::worker {
namespace {

constexpr int sequence_bits = 21;
constexpr std::uint64_t sequence_end = std::uint64_t{1} << sequence_bits;
constexpr std::uint64_t ms_end = std::uint64_t{1} << (64 - sequence_bits);

}  // namespace

void link_watch::up() {
  if (state_.connected) return;
  state_.connected = true;
  if (ever_up_) ++state_.reconnects;
  if (told_) log_info("feed.connected", {{"broker", broker_}});
  ever_up_ = true;
  told_ = false;
}

void link_watch::down(std::string_view why) {
  state_.connected = false;
  state_.last_error = why;
  if (!told_) log_warn("feed.lost", {{"broker", broker_}, {"why", why}});
  told_ = true;
}

void dead_letter_count::add(const broker_message& message, std::string_view reason, bool written) {
  ++state_.dead_letters;
  if (written) return;
  ++state_.dead_letters_lost;
  ++unsaid_;
  const auto now = std::chrono::steady_clock::now();
  if (now < say_next_) return;
  log_warn("feed.no_event",
           {{"partition", message.partition},
            {"offset", message.offset},
            {"reason", reason},
            {"since_last", unsaid_}});
  say_next_ = now + std::chrono::minutes(1);
  unsaid_ = 0;
}

std::uint32_t parse_schema_version(std::string_view text) {
  return parse_number<std::uint32_t>(text).value_or(1);
}

std::optional<std::uint64_t> offset_of_redis_id(std::string_view id) {
  const auto dash = id.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto ms = parse_number<std::uint64_t>(id.substr(0, dash));
  const auto sequence = parse_number<std::uint64_t>(id.substr(dash + 1));
  if (!ms || !sequence || *ms >= ms_end || *sequence >= sequence_end) return std::nullopt;
  const auto offset = *ms << sequence_bits | *sequence;
  if (offset == std::numeric_limits<std::uint64_t>::max()) return std::nullopt;
  return offset;
}

std::string redis_id_of_offset(std::uint64_t offset) {
  return std::to_string(offset >> sequence_bits) + "-" + std::to_string(offset % sequence_end);
}

}  // namespace headrace::worker
