#include "storage/engines/jetstream_stream.hpp"

#include "storage/engines/message_groups.hpp"
#include "storage/engines/nats_link.hpp"
#include "storage/engines/patience.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace headrace::storage {
namespace {

constexpr std::int64_t ask_ms = 2'000;
constexpr std::size_t headers_bytes_max = 512;  // ours, of a message
// Codes of the server, where nats.h has no name or another one a version later.
constexpr int store_failed = 10'077;  // a bound of the stream
constexpr std::array full{10'023, 10'028, 10'047, store_failed};
constexpr int wrong_last_sequence = 10'071;
constexpr int no_message = 10'037;
constexpr int no_stream = 10'059;
constexpr int exists_already = 10'058;

class jetstream_stream final : public message_stream {
 public:
  explicit jetstream_stream(const jetstream_options& how) : how_(how) {}
  result<void> open();

  result<extent> look() override;
  outcome append(const log_message& message, std::uint64_t at) override;
  result<std::optional<placed>> find(std::uint64_t from, std::uint64_t end) override;
  result<void> read(std::uint64_t from, std::uint64_t end, const visitor& visit) override;
  result<void> forget_before(std::uint64_t position) override;
  std::size_t bytes_max() const override { return bytes_max_; }
  std::uint64_t bytes() const override { return bytes_; }
  std::string name() const override {
    return "stream " + how_.stream + " at " + how_.login.endpoints;
  }

 private:
  /// What the server said: a status, and where that is an error of its own, its code.
  struct answer {
    natsStatus status = NATS_OK;
    int code = 0;
    std::string words;
    bool ok() const { return status == NATS_OK; }
    /// Nobody answered, or it cannot yet: to be asked again.
    bool is_absence() const;
  };
  answer told(natsStatus status, jsErrCode code) const;
  error unavailable(const answer& last) const {
    return {errc::unavailable, name() + ": " + last.words};
  }
  /// Asks until there is an answer that is no absence, on a connection that is there.
  template <class Ask>
  answer ask(const Ask& what);
  answer meet();
  result<void> check(const jsStreamInfo& info);
  answer make();
  outcome send(const log_message& message, std::uint64_t at, bool& sent);
  outcome look_at_taken(const log_message& message, std::uint64_t at);
  result<placed> parse(natsMsg* message, std::uint64_t position) const;
  error missing(std::uint64_t position);

  jetstream_options how_;
  connection_parts parts_;
  std::string subject_;
  std::size_t bytes_max_ = std::size_t{1} << 20;
  std::uint64_t bytes_ = 0;
};

bool jetstream_stream::answer::is_absence() const {
  constexpr std::array absences{NATS_TIMEOUT,
                                NATS_NO_RESPONDERS,
                                NATS_NO_SERVER,
                                NATS_CONNECTION_CLOSED,
                                NATS_CONNECTION_DISCONNECTED,
                                NATS_STALE_CONNECTION,
                                NATS_IO_ERROR,
                                NATS_SYS_ERROR};
  constexpr int not_ready = 10'008;
  return code == not_ready || (code == 0 && std::ranges::count(absences, status) > 0);
}

jetstream_stream::answer jetstream_stream::told(natsStatus status, jsErrCode code) const {
  if (status == NATS_OK) return {};
  return {status, static_cast<int>(code), words_of(status)};
}

jetstream_stream::answer jetstream_stream::meet() {
  if (parts_.connection && natsConnection_IsClosed(parts_.connection.get())) parts_ = {};
  if (parts_.connection) return {};
  const auto status = connect(how_.login, ask_ms, parts_);
  auto met = told(status, {});
  if (!met.ok()) parts_ = {};
  return met;
}

template <class Ask>
jetstream_stream::answer jetstream_stream::ask(const Ask& what) {
  patience still(how_.patience_ms);
  answer last;
  do {
    last = meet();
    if (last.ok()) last = what();
    if (!last.is_absence()) return last;
  } while (still.again());
  return last;
}

result<void> jetstream_stream::open() {
  if (how_.stream.empty() || how_.stream.find_first_of(". *>/\\\t") != std::string::npos)
    return error{errc::bad_config,
                 "'" + how_.stream + "' cannot name a stream: no . * > / or spaces"};
  const auto looked = look();
  if (looked) return {};
  if (looked.error().code != errc::not_found || how_.read_only) return looked.error();
  const auto made = ask([this] { return make(); });
  if (!made.ok() && made.code != exists_already) return unavailable(made);
  const auto again = look();
  return again ? result<void>() : again.error();
}

jetstream_stream::answer jetstream_stream::make() {
  const char* subject = how_.stream.c_str();
  jsStreamConfig how;
  jsStreamConfig_Init(&how);
  how.Name = subject;
  how.Subjects = &subject;
  how.SubjectsLen = 1;
  how.Storage = js_FileStorage;
  how.Discard = js_DiscardNew;
  how.Replicas = 1;
  jsErrCode code{};
  const auto status = js_AddStream(nullptr, parts_.stream.get(), &how, nullptr, &code);
  return told(status, code);
}

// A stream that forgets, or that takes what others send, is no log.
result<void> jetstream_stream::check(const jsStreamInfo& info) {
  const jsStreamConfig& is = *info.Config;
  const auto refuse = [&](const std::string& why) {
    return error{errc::bad_config, name() + " " + why};
  };
  if (is.SubjectsLen != 1 ||
      std::string_view(is.Subjects[0]).find_first_of("*>") != std::string::npos)
    return refuse("must have one subject, without * and >");
  if (is.MaxAge != 0) return refuse("forgets by age: set max_age to 0");
  if (is.Discard != js_DiscardNew && (is.MaxBytes > 0 || is.MaxMsgs > 0))
    return refuse("discards its oldest messages when it is full: set discard to new");
  if (is.MaxMsgsPerSubject > 0) return refuse("has a bound of messages a subject");
  if (is.Retention != js_LimitsPolicy) return refuse("has another retention than limits");
  if (info.State.NumDeleted > 0 && info.State.Msgs > 0) {
    return stream_damage(name(),
                         info.State.FirstSeq,
                         std::to_string(info.State.NumDeleted) + " messages behind it are gone");
  }
  subject_ = is.Subjects[0];
  const auto payload = natsConnection_GetMaxPayload(parts_.connection.get());
  std::int64_t most = payload > 0 ? payload : std::int64_t{1} << 20;
  if (is.MaxMsgSize > 0) most = std::min<std::int64_t>(most, is.MaxMsgSize);
  bytes_max_ = static_cast<std::size_t>(
      std::max<std::int64_t>(most - static_cast<std::int64_t>(headers_bytes_max), 1));
  return {};
}

result<message_stream::extent> jetstream_stream::look() {
  stream_info info;
  const auto said = ask([&] {
    jsStreamInfo* raw = nullptr;
    jsErrCode code{};
    const auto status =
        js_GetStreamInfo(&raw, parts_.stream.get(), how_.stream.c_str(), nullptr, &code);
    info.reset(raw);
    return told(status, code);
  });
  if (said.status == NATS_NOT_FOUND || said.code == no_stream)
    return error{errc::not_found, name() + " is not there"};
  if (!said.ok() && said.is_absence()) return unavailable(said);
  if (!said.ok()) return error{errc::io_error, name() + ": " + said.words};
  if (auto good = check(*info); !good) return good.error();
  const jsStreamState& has = info->State;
  bytes_ = has.Bytes;
  extent kept{has.LastSeq + 1, has.LastSeq + 1};
  if (has.Msgs > 0) kept.first = has.FirstSeq;
  return kept;
}

message_stream::outcome jetstream_stream::append(const log_message& message, std::uint64_t at) {
  return send_until_known(how_.patience_ms, [&](bool& sent) { return send(message, at, sent); });
}

// One try. Unknown: the same bytes go to the same position again.
message_stream::outcome jetstream_stream::send(const log_message& message,
                                               std::uint64_t at,
                                               bool& sent) {
  const auto away = [&](const answer& last) {
    return outcome{fate::unknown, 0, errc::unavailable, unavailable(last).detail};
  };
  const auto met = meet();
  if (!met.ok() && met.is_absence()) return away(met);
  if (!met.ok()) return {fate::refused, 0, errc::io_error, name() + ": " + met.words};
  const auto bytes = message.bytes.bytes();
  natsMsg* raw = nullptr;
  auto status = natsMsg_Create(&raw,
                               subject_.c_str(),
                               nullptr,
                               reinterpret_cast<const char*>(bytes.data()),
                               static_cast<int>(bytes.size()));
  const nats_message owned(raw);
  // Written by hand, as libnats sends none for 0.
  const auto expected = std::to_string(at - 1);
  const auto records = header_text(message);
  if (status == NATS_OK)
    status = natsMsgHeader_Set(raw, "Nats-Expected-Last-Sequence", expected.c_str());
  if (status == NATS_OK) status = natsMsgHeader_Set(raw, records_header, records.c_str());
  if (status != NATS_OK) return {fate::refused, 0, errc::io_error, words_of(status)};
  jsPubOptions how;
  jsPubOptions_Init(&how);
  how.MaxWait = ask_ms;
  jsErrCode code{};
  jsPubAck* ack = nullptr;
  status = js_PublishMsg(&ack, parts_.stream.get(), raw, &how, &code);
  const auto said = told(status, code);
  const std::unique_ptr<jsPubAck, freed_by<jsPubAck_Destroy>> kept(ack);
  if (said.ok()) {
    bytes_ += bytes.size();
    if (ack->Sequence == at) return {fate::placed, at, errc::ok, {}};
    return {fate::refused,
            0,
            errc::corrupt,
            stream_damage(name(), ack->Sequence, "a message for " + std::to_string(at)).detail};
  }
  if (said.code == wrong_last_sequence) return look_at_taken(message, at);
  if (std::ranges::count(full, said.code) > 0)
    return {fate::refused, 0, errc::disk_full, name() + " is full: " + said.words};
  if (said.is_absence()) {
    sent = true;
    return away(said);
  }
  return {fate::refused, 0, errc::io_error, name() + ": " + said.words};
}

// Another sequence than expected is the newest: somebody has ours, and that may be us, a moment
// ago.
message_stream::outcome jetstream_stream::look_at_taken(const log_message& message,
                                                        std::uint64_t at) {
  const auto kept = look();
  const auto failed = [](const error& why) {
    const bool is_certain = why.code == errc::corrupt;
    return outcome{is_certain ? fate::refused : fate::unknown, 0, why.code, why.detail};
  };
  if (!kept) return failed(kept.error());
  if (kept->next < at) {
    return {fate::refused,
            0,
            errc::corrupt,
            stream_damage(name(), kept->next, "it ends here, and had acknowledged more").detail};
  }
  const auto there = find(at, at + 1);
  if (!there) return failed(there.error());
  if (!*there) {
    if (kept->next == at)
      return {fate::unknown, 0, errc::unavailable, name() + " is being led anew"};
    return {fate::taken, 0, errc::in_use, {}};
  }
  if ((*there)->message == message) return {fate::placed, at, errc::ok, {}};
  return {fate::taken, 0, errc::in_use, {}};
}

result<message_stream::placed> jetstream_stream::parse(natsMsg* message,
                                                       std::uint64_t position) const {
  const char* value = nullptr;
  std::optional<log_message> one;
  if (natsMsgHeader_Get(message, records_header, &value) == NATS_OK && value != nullptr)
    one = parse_header(value);
  if (!one) return stream_damage(name(), position, "it is none of a log's");
  const auto* data = reinterpret_cast<const std::byte*>(natsMsg_GetData(message));
  one->bytes = frame::copy_of({data, static_cast<std::size_t>(natsMsg_GetDataLength(message))});
  return placed{position, std::move(*one)};
}

result<std::optional<message_stream::placed>> jetstream_stream::find(std::uint64_t from,
                                                                     std::uint64_t end) {
  if (from >= end) return std::optional<placed>{};
  nats_message message;
  const auto said = ask([&] {
    natsMsg* raw = nullptr;
    jsErrCode code{};
    const auto status =
        js_GetMsg(&raw, parts_.stream.get(), how_.stream.c_str(), from, nullptr, &code);
    message.reset(raw);
    return told(status, code);
  });
  if (said.status == NATS_NOT_FOUND || said.code == no_message) return std::optional<placed>{};
  if (!said.ok() && said.is_absence()) return unavailable(said);
  if (!said.ok()) return error{errc::io_error, name() + ": " + said.words};
  auto one = parse(message.get(), from);
  if (!one) return one.error();
  return std::optional(std::move(*one));
}

error jetstream_stream::missing(std::uint64_t position) {
  const auto kept = look();
  if (!kept) return kept.error();
  return missing_message(name(), kept->first, position);
}

// One by one. A consumer would give more at a time, but libnats 3.4 now and then crashes or hangs
// where one is given up while messages are on their way to it; and who reads one record, as a mix
// of history does, would be sent all behind it.
result<void> jetstream_stream::read(std::uint64_t from, std::uint64_t end, const visitor& visit) {
  for (std::uint64_t at = from; at < end; ++at) {
    const auto one = find(at, at + 1);
    if (!one) return one.error();
    if (!*one) return missing(at);
    const auto more = visit(**one);
    if (!more) return more.error();
    if (!*more) break;
  }
  return {};
}

result<void> jetstream_stream::forget_before(std::uint64_t position) {
  const auto said = ask([&] {
    jsOptions how;
    jsOptions_Init(&how);
    how.Stream.Purge.Sequence = position;
    jsErrCode code{};
    const auto status = js_PurgeStream(parts_.stream.get(), how_.stream.c_str(), &how, &code);
    return told(status, code);
  });
  if (said.ok()) return {};
  if (said.is_absence()) return unavailable(said);
  return error{errc::io_error, name() + ": " + said.words};
}

}  // namespace

result<std::unique_ptr<message_stream>> open_jetstream_stream(const jetstream_options& how) {
  auto made = std::make_unique<jetstream_stream>(how);
  if (auto opened = made->open(); !opened) return opened.error();
  return std::unique_ptr<message_stream>(std::move(made));
}

}  // namespace headrace::storage
