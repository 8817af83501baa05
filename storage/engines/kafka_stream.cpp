#include "storage/engines/kafka_stream.hpp"

#include "base/log.hpp"
#include "base/parse_number.hpp"
#include "storage/engines/claimed_order.hpp"
#include "storage/engines/kafka_partition.hpp"
#include "storage/engines/kafka_sender.hpp"
#include "storage/engines/message_groups.hpp"
#include "storage/engines/patience.hpp"

#include <algorithm>
#include <utility>

namespace headrace::storage {
namespace {

constexpr std::size_t message_bytes_default = 1'000'000;  // Kafka's, about
constexpr std::size_t headers_bytes_max = 1'024;          // ours, and the batch's, of a message

class kafka_stream final : public message_stream {
 public:
  explicit kafka_stream(const kafka_stream_options& how)
      : how_(how),
        partition_(how.login, how.topic, how.patience_ms),
        sender_(how.login, how.topic, how.patience_ms) {}
  result<void> open();

  result<extent> look() override;
  outcome append(const log_message& message, std::uint64_t at) override;
  result<std::optional<placed>> find(std::uint64_t from, std::uint64_t end) override;
  result<void> read(std::uint64_t from, std::uint64_t end, const visitor& visit) override;
  result<void> forget_before(std::uint64_t position) override;
  std::size_t bytes_max() const override { return message_bytes_ - headers_bytes_max; }
  std::uint64_t bytes() const override;
  std::string name() const override { return partition_.name(); }

 private:
  struct claimed {
    placed one;
    std::uint64_t written_for = 0;
  };
  result<claimed> parse(std::uint64_t position, const rd_kafka_message_t& message);
  result<std::uint64_t> anchor_before(std::uint64_t position);
  result<void> read_from_anchor(std::uint64_t anchor,
                                std::uint64_t from,
                                std::uint64_t end,
                                const visitor& visit);
  outcome send(const log_message& message, std::uint64_t at, bool& sent);
  outcome look_who_has(const log_message& message, std::uint64_t at);
  void count(std::size_t bytes) {
    seen_bytes_ += bytes;
    ++seen_;
  }

  kafka_stream_options how_;
  kafka_partition partition_;
  kafka_sender sender_;
  std::size_t message_bytes_ = message_bytes_default;
  extent kept_;                   // as far as it is known
  std::uint64_t seen_bytes_ = 0;  // of messages that were written or read
  std::uint64_t seen_ = 0;
  bool retention_told_ = false;
};

result<void> kafka_stream::open() {
  if (auto opened = partition_.open(); !opened) return opened;
  const auto is = partition_.ask_settings();
  if (!is) return is.error();
  if (is->cleanup.find("compact") != std::string::npos) {
    return error{errc::bad_config,
                 name() +
                     " forgets what has a newer message of its key: set cleanup.policy to "
                     "delete"};
  }
  if (is->forgets) log_info("samples.retention", {{"topic", how_.topic}, {"of", "its broker"}});
  message_bytes_ =
      std::max(is->message_bytes_max.value_or(message_bytes_default), 2 * headers_bytes_max);
  sender_.set_bytes_max(message_bytes_);
  return {};
}

result<message_stream::extent> kafka_stream::look() {
  auto kept = partition_.look();
  if (kept) kept_ = *kept;
  return kept;
}

std::uint64_t kafka_stream::bytes() const {
  return seen_ == 0 ? 0 : seen_bytes_ / seen_ * (kept_.next - kept_.first);
}

message_stream::outcome kafka_stream::append(const log_message& message, std::uint64_t at) {
  return send_until_known(how_.patience_ms, [&](bool& sent) { return send(message, at, sent); });
}

// One try. Unknown: the same bytes, for the same position, may be sent again.
message_stream::outcome kafka_stream::send(const log_message& message,
                                           std::uint64_t at,
                                           bool& sent) {
  const auto bytes = message.bytes.bytes();
  const auto told = sender_.send({bytes, header_text(message), std::to_string(at)});
  if (!told) return {fate::refused, 0, told.error().code, told.error().detail};
  if (told->failed == RD_KAFKA_RESP_ERR_NO_ERROR && told->position == at) {
    count(bytes.size());
    kept_.next = at + 1;
    return {fate::placed, at, errc::ok, {}};
  }
  const auto words = name() + ": " + told->words;
  if (told->failed == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
    return {fate::refused,
            0,
            errc::too_large,
            words + ": of " + std::to_string(bytes.size()) + " bytes, and max.message.bytes is " +
                std::to_string(message_bytes_)};
  }
  if (is_final(told->failed) && !told->may_be_there)
    return {fate::refused, 0, errc::io_error, words};
  if (told->failed != RD_KAFKA_RESP_ERR_NO_ERROR && !told->may_be_there)
    return {fate::unknown, 0, errc::unavailable, words};
  sent = true;
  auto out = look_who_has(message, at);
  if (out.is == fate::unknown && told->failed != RD_KAFKA_RESP_ERR_NO_ERROR) out.detail = words;
  return out;
}

// It stands somewhere, or may: the first that counts at `at` or behind it is ours, of this try or
// an earlier one, or another's.
message_stream::outcome kafka_stream::look_who_has(const log_message& message, std::uint64_t at) {
  const auto failed = [](const error& why) {
    const bool is_certain = why.code == errc::corrupt;
    return outcome{is_certain ? fate::refused : fate::unknown, 0, why.code, why.detail};
  };
  const auto kept = look();
  if (!kept) return failed(kept.error());
  if (kept->next < at) {
    return failed(stream_damage(name(), kept->next, "it ends here, and had acknowledged more"));
  }
  const auto there = find(at, kept->next);
  if (!there) return failed(there.error());
  if (!*there) return {fate::unknown, 0, errc::unavailable, name() + " has it not yet"};
  if ((*there)->message == message) return {fate::placed, (*there)->position, errc::ok, {}};
  return {fate::taken, 0, errc::in_use, {}};
}

result<kafka_stream::claimed> kafka_stream::parse(std::uint64_t position,
                                                  const rd_kafka_message_t& message) {
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
    return stream_damage(name(), position, "it is none of a log's");
  auto one = parse_header(header_of(headers, records_header));
  const auto written_for = parse_number<std::uint64_t>(header_of(headers, written_for_header));
  if (!one || !written_for) return stream_damage(name(), position, "it is none of a log's");
  if (*written_for > position) {
    return stream_damage(name(),
                         position,
                         "it was written for position " + std::to_string(*written_for) +
                             ", so messages before it are gone");
  }
  one->bytes = frame::copy_of({static_cast<const std::byte*>(message.payload), message.len});
  count(message.len);
  return claimed{{position, std::move(*one)}, *written_for};
}

// The nearest message before `position` that stands where it was meant to; else the oldest one.
result<std::uint64_t> kafka_stream::anchor_before(std::uint64_t position) {
  const auto kept = look();
  if (!kept) return kept.error();
  for (std::uint64_t at = position - 1; at >= kept->first && at > 0; --at) {
    bool is_anchor = false;
    auto read = partition_.scan(at, at + 1, [&](auto where, const auto& message) -> result<bool> {
      const auto one = parse(where, message);
      if (!one) return one.error();
      is_anchor = one->written_for == where;
      return false;
    });
    if (!read) return read.error();
    if (is_anchor) return at;
  }
  return kept->first;
}

result<void> kafka_stream::read(std::uint64_t from, std::uint64_t end, const visitor& visit) {
  bool is_anchor = false;
  bool first = true;
  claimed_order order(from);
  auto read = partition_.scan(from, end, [&](auto where, const auto& message) -> result<bool> {
    const auto one = parse(where, message);
    if (!one) return one.error();
    if (std::exchange(first, false)) is_anchor = one->written_for == where;
    if (!is_anchor) return false;
    return order.counts(where, one->written_for) ? visit(one->one) : true;
  });
  if (!read || is_anchor || first) return read;
  const auto anchor = anchor_before(from);
  if (!anchor) return anchor.error();
  return read_from_anchor(*anchor, from, end, visit);
}

result<void> kafka_stream::read_from_anchor(std::uint64_t anchor,
                                            std::uint64_t from,
                                            std::uint64_t end,
                                            const visitor& visit) {
  claimed_order order(anchor);
  return partition_.scan(anchor, end, [&](auto where, const auto& message) -> result<bool> {
    const auto one = parse(where, message);
    if (!one) return one.error();
    const bool counts = order.counts(where, one->written_for);
    return counts && where >= from ? visit(one->one) : true;
  });
}

result<std::optional<message_stream::placed>> kafka_stream::find(std::uint64_t from,
                                                                 std::uint64_t end) {
  std::optional<placed> found;
  auto done = read(from, end, [&](const placed& one) -> result<bool> {
    found = one;
    return false;
  });
  if (done) return found;
  if (done.error().code != errc::not_found) return done.error();
  const auto kept = look();
  if (!kept) return kept.error();
  return kept->first > from ? find(kept->first, end) : std::optional<placed>{};
}

result<void> kafka_stream::forget_before(std::uint64_t position) {
  bool is_anchor = false;
  auto read =
      partition_.scan(position, position + 1, [&](auto where, const auto& message) -> result<bool> {
        const auto one = parse(where, message);
        if (!one) return one.error();
        is_anchor = one->written_for == where;
        return false;
      });
  if (!read) return read;
  const auto until = is_anchor ? result(position) : anchor_before(position);
  if (!until) return until.error();
  const auto removed = partition_.remove_before(*until);
  if (!removed) return removed.error();
  if (!*removed && !std::exchange(retention_told_, true))
    log_warn("samples.retention",
             {{"topic", how_.topic}, {"why", "its broker does not let us delete records"}});
  return {};
}

}  // namespace

result<std::unique_ptr<message_stream>> open_kafka_stream(const kafka_stream_options& how) {
  auto made = std::make_unique<kafka_stream>(how);
  if (auto opened = made->open(); !opened) return opened.error();
  return std::unique_ptr<message_stream>(std::move(made));
}

}  // namespace headrace::storage
