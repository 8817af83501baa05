#include "worker/ingest/jetstream_feed.hpp"

#include "base/log.hpp"
#include "worker/ingest/feed_support.hpp"
#include "worker/ingest/jetstream_support.hpp"

#include <algorithm>
#include <deque>
#include <optional>

namespace headrace::worker {
namespace {

using steady = std::chrono::steady_clock;
constexpr std::int64_t ask_ms = 2'000;
constexpr auto look_every = std::chrono::seconds(2);  // after the consumer, while nothing comes
constexpr auto late_max = std::chrono::seconds(2);    // of messages behind the end of their request
constexpr std::int64_t ns_of_ms = 1'000'000;
constexpr std::int64_t ack_wait_ns = 300'000 * ns_of_ms;  // longer than a log is ever full

class jetstream_feed final : public broker_feed {
 public:
  jetstream_feed(const feed_spec& spec, const feed_positions& next)
      : spec_(spec), link_("nats " + spec.endpoints, state_), letter_count_(state_) {
    partition_ = spec_.topics.front();
    if (!spec_.subject.empty()) partition_ += "/" + spec_.subject;
    if (const auto known = next.find(partition_); known != next.end()) next_ = known->second;
  }

  result<void> poll(std::chrono::milliseconds patience,
                    std::size_t messages_max,
                    std::vector<broker_message>& into) override;
  result<void> commit(const std::string& partition, std::uint64_t next) override;
  void pause() override { paused_ = true; }
  void resume() override { paused_ = false; }
  result<void> dead_letter(const broker_message& message, std::string_view reason) override;
  state look() const override;

 private:
  struct delivery {
    std::uint64_t offset;
    std::string ack_to;
  };
  bool meet();
  natsStatus place();
  bool would_come_back(const jsStreamConfig& stream) const;
  natsStatus check_stream();
  natsStatus recall_place();
  natsStatus make_consumer();
  std::size_t safe_batch(std::size_t messages) const;
  natsStatus fetch(std::size_t messages, std::size_t bytes_max, std::chrono::milliseconds patience);
  bool take(nats_message message, std::vector<broker_message>& into);
  void look_after_consumer();
  bool write_dead_letter(const broker_message& message, std::string_view reason);
  void lose(const std::string& why);

  feed_spec spec_;
  std::string partition_;
  state state_;
  link_watch link_;
  dead_letter_count letter_count_;
  reconnect_pace pace_;
  connection_parts parts_;
  std::optional<std::uint64_t> next_;  // to be read; nothing: the broker is to be asked
  std::uint64_t delivered_ = 0;        // the consumer's own count
  std::uint64_t waiting_ = 0;          // behind the newest message that came
  std::deque<delivery> unacked_;
  std::vector<nats_message> kept_;     // of the last poll
  std::vector<nats_message> fetched_;  // not yet looked at
  std::optional<error> failure_;
  steady::time_point look_next_{};
  steady::time_point one_until_{};  // messages may come that an earlier fetch did not wait for
  bool paused_ = false;
};

void jetstream_feed::lose(const std::string& why) {
  link_.down(why);
  pace_.failed(steady::now());
  parts_.consumer.reset();
  parts_.stream.reset();
  parts_.connection.reset();
  unacked_.clear();
}

bool jetstream_feed::would_come_back(const jsStreamConfig& stream) const {
  const std::string_view letters = spec_.dead_letter;
  if (letters.empty() || (!spec_.subject.empty() && !takes_subject(spec_.subject, letters))) {
    return false;
  }
  return std::any_of(stream.Subjects, stream.Subjects + stream.SubjectsLen, [&](const char* one) {
    return takes_subject(one, letters);
  });
}

natsStatus jetstream_feed::check_stream() {
  jsStreamInfo* raw = nullptr;
  jsErrCode code{};
  const auto& name = spec_.topics.front();
  const auto status = js_GetStreamInfo(&raw, parts_.stream.get(), name.c_str(), nullptr, &code);
  if (status == NATS_NOT_FOUND || code == JSStreamNotFoundErr) {
    failure_ = error{errc::io_error, "nats: stream " + name + ": " + words_of(status)};
    return status;
  }
  if (status != NATS_OK) return status;
  const stream_info info(raw);
  if (would_come_back(*info->Config)) {
    failure_ = error{errc::bad_config,
                     "nats: dead letters to '" + spec_.dead_letter + "' would come back: stream " +
                         name + ", which is read, takes that subject"};
    return NATS_ERR;
  }
  const auto& has = info->State;
  if (next_ && *next_ > has.LastSeq + 1) {
    failure_ = error{errc::bad_input,
                     "nats: stream " + name + " ends at sequence " + std::to_string(has.LastSeq) +
                         ", the event log has read to " + std::to_string(*next_) +
                         ": this is not the stream it was; give the source a new name"};
    return NATS_ERR;
  }
  if (next_ && std::max<std::uint64_t>(*next_, 1) < has.FirstSeq) {
    if (spec_.subject.empty()) state_.missing += has.FirstSeq - std::max<std::uint64_t>(*next_, 1);
    log_warn("feed.missing", {{"partition", partition_}, {"from", *next_}, {"to", has.FirstSeq}});
    next_ = has.FirstSeq;
  }
  return NATS_OK;
}

/// Where the durable consumer stands, when the log knows nothing; else the beginning.
natsStatus jetstream_feed::recall_place() {
  if (next_) return NATS_OK;
  jsConsumerInfo* raw = nullptr;
  jsErrCode code{};
  const auto status = js_GetConsumerInfo(
      &raw, parts_.stream.get(), spec_.topics.front().c_str(), spec_.group.c_str(), nullptr, &code);
  const consumer_info info(raw);
  if (status == NATS_OK) next_ = info->AckFloor.Stream + 1;
  if (status == NATS_NOT_FOUND || code == JSConsumerNotFoundErr) {
    next_ = 1;
    return NATS_OK;
  }
  return status;
}

natsStatus jetstream_feed::make_consumer() {
  parts_.consumer.reset();
  unacked_.clear();
  fetched_.clear();
  const char* stream = spec_.topics.front().c_str();
  jsErrCode code{};
  auto status = js_DeleteConsumer(parts_.stream.get(), stream, spec_.group.c_str(), nullptr, &code);
  if (status != NATS_OK && status != NATS_NOT_FOUND && code != JSConsumerNotFoundErr) {
    return status;
  }
  jsConsumerConfig how;
  jsConsumerConfig_Init(&how);
  how.Durable = spec_.group.c_str();
  how.DeliverPolicy = js_DeliverByStartSequence;
  how.OptStartSeq = std::max<std::uint64_t>(*next_, 1);
  how.AckPolicy = js_AckExplicit;
  how.AckWait = ack_wait_ns;
  how.MaxAckPending = -1;
  if (!spec_.subject.empty()) how.FilterSubject = spec_.subject.c_str();
  status = js_AddConsumer(nullptr, parts_.stream.get(), stream, &how, nullptr, &code);
  if (status != NATS_OK) return status;
  jsSubOptions bind;
  jsSubOptions_Init(&bind);
  bind.Stream = stream;
  bind.Consumer = spec_.group.c_str();
  natsSubscription* consumer = nullptr;
  status = js_PullSubscribe(&consumer,
                            parts_.stream.get(),
                            spec_.subject.empty() ? nullptr : spec_.subject.c_str(),
                            spec_.group.c_str(),
                            nullptr,
                            &bind,
                            &code);
  parts_.consumer.reset(consumer);
  delivered_ = 0;
  return status;
}

natsStatus jetstream_feed::place() {
  auto status = check_stream();
  if (status == NATS_OK) status = recall_place();
  if (status == NATS_OK) status = make_consumer();
  return status;
}

/// True when there is a consumer to fetch from.
bool jetstream_feed::meet() {
  if (parts_.connection != nullptr && natsConnection_IsClosed(parts_.connection.get())) {
    lose("connection closed");
  }
  if (parts_.consumer != nullptr) return true;
  if (!pace_.is_due(steady::now())) return false;
  auto status = parts_.connection == nullptr ? connect(spec_, ask_ms, parts_) : NATS_OK;
  if (status == NATS_CONNECTION_AUTH_FAILED || status == NATS_NOT_PERMITTED) {
    failure_ = error{errc::io_error, "nats: " + words_of(status)};
  }
  if (status == NATS_OK) status = place();
  if (status != NATS_OK) {
    lose(words_of(status));
    return false;
  }
  pace_.worked();
  look_next_ = steady::now() + look_every;
  link_.up();
  return true;
}

/// How many messages may be asked for at once.
///
/// Where some of an earlier request have come late, libnats 3.4 takes them, asks for the rest, and
/// then stops at no bound: it writes behind its list. So what has come is taken alone; and while
/// more may come of a request that was not answered in full, one is asked for at a time.
std::size_t jetstream_feed::safe_batch(std::size_t messages) const {
  int waiting = 0;
  natsSubscription_GetPending(parts_.consumer.get(), &waiting, nullptr);
  if (waiting > 0) return std::min(messages, static_cast<std::size_t>(waiting));
  return steady::now() < one_until_ ? 1 : messages;
}

/// Fills `fetched_` with what comes within `patience`, at most `bytes_max` of it (0: any).
natsStatus jetstream_feed::fetch(std::size_t messages,
                                 std::size_t bytes_max,
                                 std::chrono::milliseconds patience) {
  jsFetchRequest request;
  jsFetchRequest_Init(&request);
  const auto batch = std::clamp<std::size_t>(safe_batch(messages), 1, 65'536);
  request.Batch = static_cast<int>(batch);
  request.MaxBytes = static_cast<std::int64_t>(bytes_max);
  request.Expires = std::max<std::int64_t>(patience.count(), 1) * ns_of_ms;
  natsMsgList list{};
  const auto status = natsSubscription_FetchRequest(&list, parts_.consumer.get(), &request);
  for (int i = 0; i < list.Count; ++i) {
    fetched_.emplace_back(list.Msgs[i]);
    list.Msgs[i] = nullptr;
  }
  if (static_cast<std::size_t>(list.Count) < batch) one_until_ = steady::now() + late_max;
  natsMsgList_Destroy(&list);
  return status;
}

result<void> jetstream_feed::poll(std::chrono::milliseconds patience,
                                  std::size_t messages_max,
                                  std::vector<broker_message>& into) {
  kept_.clear();
  if (failure_) return *failure_;
  if (paused_ || !meet()) {
    if (failure_) return *failure_;
    nats_Sleep(patience.count());
    return {};
  }
  const auto first = into.size();
  auto status = fetch(messages_max, spec_.poll_bytes_max, patience);
  if (fetched_.empty() && is_refusal(status)) status = fetch(1, 0, patience);  // one too large?
  for (auto& message : std::exchange(fetched_, {})) {
    if (!take(std::move(message), into)) break;
  }
  if (status == NATS_CONNECTION_CLOSED || natsConnection_IsClosed(parts_.connection.get())) {
    lose(words_of(NATS_CONNECTION_CLOSED));
  } else if (into.size() == first && is_refusal(status)) {
    state_.last_error = words_of(status);
  }
  if (into.size() == first) look_after_consumer();
  return {};
}

/// False when the consumer was made anew, and with it all that came behind this message.
bool jetstream_feed::take(nats_message message, std::vector<broker_message>& into) {
  jsMsgMetaData* raw = nullptr;
  if (natsMsg_GetMetaData(&raw, message.get()) != NATS_OK) return true;
  const message_facts facts(raw);
  const auto offset = facts->Sequence.Stream;
  if (facts->Sequence.Consumer != delivered_ + 1) {  // something was sent that never came
    log_info("feed.again", {{"partition", partition_}, {"from", *next_}});
    parts_.consumer.reset();
    return false;
  }
  ++delivered_;
  if (offset < *next_) return true;
  next_ = offset + 1;
  waiting_ = facts->NumPending;
  unacked_.push_back({offset, natsMsg_GetReply(message.get())});
  broker_message one;
  one.partition = partition_;
  one.offset = offset;
  one.value = {natsMsg_GetData(message.get()),
               static_cast<std::size_t>(natsMsg_GetDataLength(message.get()))};
  one.key = header_of(message.get(), {"key", "Key"});
  one.content_type = header_of(message.get(), {"content-type", "Content-Type"});
  one.schema_version =
      parse_schema_version(header_of(message.get(), {"schema-version", "Schema-Version"}));
  one.time_ms = static_cast<std::uint64_t>(facts->Timestamp / ns_of_ms);
  into.push_back(one);
  kept_.push_back(std::move(message));
  return true;
}

/// Now and then while nothing comes: somebody may have taken the consumer away.
void jetstream_feed::look_after_consumer() {
  if (parts_.consumer == nullptr || steady::now() < look_next_) return;
  look_next_ = steady::now() + look_every;
  jsConsumerInfo* raw = nullptr;
  jsErrCode code{};
  const auto status = js_GetConsumerInfo(
      &raw, parts_.stream.get(), spec_.topics.front().c_str(), spec_.group.c_str(), nullptr, &code);
  const consumer_info info(raw);
  if (status == NATS_OK && info->Delivered.Consumer == delivered_) {
    waiting_ = info->NumPending;
    return;
  }
  if (status == NATS_TIMEOUT) return;
  state_.last_error = status == NATS_OK ? "consumer changed by another reader" : words_of(status);
  parts_.consumer.reset();
}

result<void> jetstream_feed::commit(const std::string& partition, std::uint64_t next) {
  if (partition != partition_) return {};
  while (!unacked_.empty() && unacked_.front().offset < next) {
    if (parts_.connection != nullptr) {
      natsConnection_PublishString(
          parts_.connection.get(), unacked_.front().ack_to.c_str(), "+ACK");
    }
    unacked_.pop_front();
  }
  return {};
}

bool jetstream_feed::write_dead_letter(const broker_message& message, std::string_view reason) {
  if (spec_.dead_letter.empty() || parts_.stream == nullptr) return false;
  natsMsg* raw = nullptr;
  auto status = natsMsg_Create(&raw,
                               spec_.dead_letter.c_str(),
                               nullptr,
                               message.value.data(),
                               static_cast<int>(message.value.size()));
  const nats_message letter(raw);
  const auto add = [&status, raw](const char* name, std::string_view value) {
    if (status == NATS_OK) status = natsMsgHeader_Set(raw, name, std::string(value).c_str());
  };
  add("reason", reason);
  add("partition", message.partition);
  add("offset", std::to_string(message.offset));
  if (!message.key.empty()) add("key", message.key);
  if (!message.content_type.empty()) add("content-type", message.content_type);
  jsErrCode code{};
  if (status == NATS_OK) {
    status = js_PublishMsg(nullptr, parts_.stream.get(), raw, nullptr, &code);
  }
  if (status != NATS_OK) state_.last_error = "dead letter: " + words_of(status);
  return status == NATS_OK;
}

result<void> jetstream_feed::dead_letter(const broker_message& message, std::string_view reason) {
  letter_count_.add(message, reason, write_dead_letter(message, reason));
  return {};
}

broker_feed::state jetstream_feed::look() const {
  auto now = state_;
  if (next_) now.lag[partition_] = waiting_ + unacked_.size();
  return now;
}

}  // namespace

result<std::unique_ptr<broker_feed>> open_jetstream_feed(const feed_spec& spec,
                                                         const feed_positions& next) {
  if (spec.topics.size() != 1) {
    return error{errc::bad_config,
                 "a JetStream source reads one stream, not " + std::to_string(spec.topics.size())};
  }
  if (spec.dead_letter.find_first_of("*> ") != std::string::npos) {
    return error{errc::bad_config,
                 "'" + spec.dead_letter + "' is no one subject for dead letters: no * > or spaces"};
  }
  if (spec.group.find_first_of(". *>/\\") != std::string::npos) {
    return error{errc::bad_config,
                 "'" + spec.group + "' cannot name a durable consumer: no . * > / or spaces"};
  }
  return std::unique_ptr<broker_feed>(std::make_unique<jetstream_feed>(spec, next));
}

}  // namespace headrace::worker
