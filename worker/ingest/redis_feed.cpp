#include "worker/ingest/redis_feed.hpp"

#include "base/log.hpp"
#include "worker/ingest/feed_support.hpp"
#include "worker/ingest/redis_link.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <thread>

namespace headrace::worker {
namespace {

constexpr std::size_t entries_at_once_max = 128;  // one may be 512 MB: Redis answers whole

using steady = std::chrono::steady_clock;
constexpr std::size_t acks_at_once = 1'000;
constexpr auto look_every = std::chrono::seconds(1);

/// What Redis says while it starts, or while another node takes over.
bool will_pass(std::string_view words) {
  constexpr std::array<std::string_view, 6> passing{
      "LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "BUSY"};
  return std::any_of(
      passing.begin(), passing.end(), [&](auto word) { return words.starts_with(word); });
}

/// One stream.
struct stream_place {
  std::string key;
  std::optional<std::uint64_t> next;  // to be read; nothing: the group is to be asked
  std::uint64_t committed = 1;        // in the log
  std::deque<std::uint64_t> unacked;
  std::uint64_t unread = 0;  // as XINFO GROUPS says
  bool placed = false;

  std::string id_before() const {
    return redis_id_of_offset(std::max<std::uint64_t>(*next, 1) - 1);
  }
};

class redis_feed final : public broker_feed {
 public:
  redis_feed(const feed_spec& spec, const feed_positions& next)
      : spec_(spec), link_("redis " + spec.endpoints, state_), letter_count_(state_) {
    for (const auto& key : spec_.topics) {
      stream_place one;
      one.key = key;
      if (const auto known = next.find(key); known != next.end()) {
        one.next = known->second;
        one.committed = std::max<std::uint64_t>(known->second, 1);
      }
      streams_.push_back(std::move(one));
    }
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
  bool meet();
  bool is_the_one_it_was(const stream_place& stream, bool has_group);
  bool place(stream_place& stream);
  bool recall_place(stream_place& stream, std::string_view delivered);
  bool ack_leftovers(stream_place& stream);
  redis_answer ask(const std::vector<std::string_view>& words,
                   std::chrono::milliseconds patience = std::chrono::milliseconds(0));
  redis_answer read(std::chrono::milliseconds patience, std::size_t messages);
  void take(stream_place& stream, const redisReply& entry, std::vector<broker_message>& into);
  bool send_acks(stream_place& stream);
  void look_at_lag();
  bool write_dead_letter(const broker_message& message, std::string_view reason);
  void lose(const std::string& why);
  void fail(errc code, std::string words) {
    if (!failure_) failure_ = error{code, "redis: " + std::move(words)};
  }
  void fail_at(const stream_place& stream, std::string_view id) {
    fail(errc::bad_input,
         "stream " + stream.key + ": id " + std::string(id) +
             " does not fit an offset (ms < 2^43, seq < 2^21)");
  }

  feed_spec spec_;
  state state_;
  link_watch link_;
  dead_letter_count letter_count_;
  reconnect_pace pace_;
  redis_link redis_;
  std::vector<stream_place> streams_;
  redis_answer kept_;  // of the last poll
  std::optional<error> failure_;
  steady::time_point look_next_{};
  std::size_t entry_bytes_ = 256;  // of late, on average
  bool paused_ = false;
};

void redis_feed::lose(const std::string& why) {
  link_.down(why);
  pace_.failed(steady::now());
  redis_.close();
  for (auto& stream : streams_) stream.placed = false;
}

/// Null when there is no answer to use: the link is lost, or the feed has failed.
redis_answer redis_feed::ask(const std::vector<std::string_view>& words,
                             std::chrono::milliseconds patience) {
  if (!redis_.is_open()) return nullptr;
  auto answer = redis_.ask(words, patience);
  if (answer == nullptr) {
    lose(redis_.why());
    return nullptr;
  }
  if (answer->type != REDIS_REPLY_ERROR) return answer;
  const std::string refusal(text_of(answer.get()));
  state_.last_error = refusal;
  if (will_pass(refusal)) {
    lose(refusal);
  } else if (refusal.starts_with("NOGROUP") || refusal.starts_with("UNBLOCKED")) {
    for (auto& stream : streams_) stream.placed = false;
  } else {
    fail(errc::io_error, refusal);
  }
  return nullptr;
}

/// Where the group stands, when the log knows nothing: at the oldest entry that was not
/// acknowledged, else behind the last it gave.
bool redis_feed::recall_place(stream_place& stream, std::string_view delivered) {
  const auto pending = ask({"XPENDING", stream.key, spec_.group});
  if (pending == nullptr) return false;
  const auto oldest = pending->elements >= 2 ? text_of(pending->element[1]) : std::string_view();
  const auto offset = offset_of_redis_id(oldest.empty() ? delivered : oldest);
  if (!offset) {
    fail_at(stream, oldest.empty() ? delivered : oldest);
    return false;
  }
  stream.next = oldest.empty() ? *offset + 1 : *offset;
  stream.committed = *stream.next;
  return true;
}

/// What the log has, but was never acknowledged.
bool redis_feed::ack_leftovers(stream_place& stream) {
  const auto last = redis_id_of_offset(stream.committed - 1);
  for (;;) {
    const auto pending = ask({"XPENDING", stream.key, spec_.group, "-", last, "1000"});
    if (pending == nullptr) return false;
    if (pending->elements == 0) return true;
    std::vector<std::string_view> words{"XACK", stream.key, spec_.group};
    for (std::size_t i = 0; i < pending->elements; ++i) {
      if (pending->element[i]->elements > 0) {
        words.push_back(text_of(pending->element[i]->element[0]));
      }
    }
    const auto acked = ask(words);
    if (acked == nullptr || acked->integer == 0) return acked != nullptr;
  }
}

/// False: there is no answer, or it ends before what the log has read and our group is gone: it was
/// made anew, and what came meanwhile may have any id. With the group a server that was killed
/// forgot its newest entries; ids go on with its clock.
bool redis_feed::is_the_one_it_was(const stream_place& stream, bool has_group) {
  const auto about = ask({"XINFO", "STREAM", stream.key});
  if (about == nullptr) return false;
  const auto end = text_of(member_of(about.get(), "last-generated-id"));
  const auto last = offset_of_redis_id(end);
  if (!stream.next || !last || *last + 1 >= *stream.next) return true;
  if (has_group) {
    log_warn("feed.server_forgot", {{"stream", stream.key}, {"ends_at", std::string(end)}});
    return true;
  }
  fail(errc::bad_input,
       "stream " + stream.key + " ends at id " + std::string(end) + ", the event log has read to " +
           stream.id_before() + ": this is not the stream it was; give the source a new name");
  return false;
}

/// Finds or makes the group of one stream and sets it to `next`.
bool redis_feed::place(stream_place& stream) {
  const auto groups = ask({"XINFO", "GROUPS", stream.key});
  if (groups == nullptr) return false;
  const redisReply* ours = nullptr;
  for (std::size_t i = 0; i < groups->elements; ++i) {
    const auto* group = groups->element[i];
    if (text_of(member_of(group, "name")) == spec_.group) ours = group;
  }
  if (!is_the_one_it_was(stream, ours != nullptr)) return false;
  if (ours == nullptr) {
    if (!stream.next) stream.next = 1;
    if (ask({"XGROUP", "CREATE", stream.key, spec_.group, stream.id_before()}) == nullptr) {
      return false;
    }
  } else {
    const auto delivered = text_of(member_of(ours, "last-delivered-id"));
    if (!stream.next && !recall_place(stream, delivered)) return false;
    if (delivered != stream.id_before() &&
        ask({"XGROUP", "SETID", stream.key, spec_.group, stream.id_before()}) == nullptr) {
      return false;
    }
    if (!ack_leftovers(stream)) return false;
  }
  stream.placed = true;
  return true;
}

/// True when every stream can be read.
bool redis_feed::meet() {
  if (!redis_.is_open()) {
    if (!pace_.is_due(steady::now())) return false;
    if (auto done = redis_.connect(spec_.endpoints, spec_.user, spec_.password); !done) {
      const bool passes = done.error().code == errc::unavailable || will_pass(done.error().detail);
      if (!passes) failure_ = done.error();
      lose(done.error().detail);
      return false;
    }
  }
  for (auto& stream : streams_) {
    if (!stream.placed && !place(stream)) return false;
  }
  pace_.worked();
  link_.up();
  return true;
}

redis_answer redis_feed::read(std::chrono::milliseconds patience, std::size_t messages) {
  const auto fit =
      std::clamp<std::size_t>(spec_.poll_bytes_max / entry_bytes_, 1, entries_at_once_max);
  const auto count = std::to_string(std::clamp<std::size_t>(messages, 1, fit));
  const auto block = std::to_string(patience.count());
  const std::string consumer = spec_.client_id.empty() ? "headrace" : spec_.client_id;
  std::vector<std::string_view> words{"XREADGROUP", "GROUP", spec_.group, consumer, "COUNT", count};
  if (patience.count() > 0) words.insert(words.end(), {"BLOCK", block});
  words.emplace_back("STREAMS");
  for (const auto& stream : streams_) words.push_back(stream.key);
  words.insert(words.end(), streams_.size(), ">");
  return ask(words, patience);
}

result<void> redis_feed::poll(std::chrono::milliseconds patience,
                              std::size_t messages_max,
                              std::vector<broker_message>& into) {
  kept_.reset();
  if (failure_) return *failure_;
  if (paused_ || !meet()) {
    if (failure_) return *failure_;
    std::this_thread::sleep_for(patience);
    return {};
  }
  kept_ = read(patience, messages_max);
  const auto first = into.size();
  std::size_t bytes = 0;
  for (std::size_t i = 0; kept_ != nullptr && i < kept_->elements; ++i) {
    const auto* part = kept_->element[i];  // [key, entries]
    if (part->elements != 2) continue;
    const auto stream = std::find_if(streams_.begin(), streams_.end(), [part](const auto& one) {
      return one.key == text_of(part->element[0]);
    });
    if (stream == streams_.end()) continue;
    for (std::size_t k = 0; k < part->element[1]->elements && !failure_; ++k) {
      take(*stream, *part->element[1]->element[k], into);
    }
  }
  for (auto i = first; i < into.size(); ++i) bytes += into[i].value.size() + 64;
  if (into.size() > first) entry_bytes_ = bytes / (into.size() - first);
  if (!failure_) look_at_lag();
  if (failure_ && into.size() == first) return *failure_;
  return {};
}

void redis_feed::take(stream_place& stream,
                      const redisReply& entry,
                      std::vector<broker_message>& into) {
  if (entry.elements != 2) return;
  const auto offset = offset_of_redis_id(text_of(entry.element[0]));
  if (!offset) {
    fail_at(stream, text_of(entry.element[0]));
    return;
  }
  if (*offset < *stream.next) return;
  stream.next = *offset + 1;
  stream.unacked.push_back(*offset);
  const auto* fields = entry.element[1];
  broker_message one;
  one.partition = stream.key;
  one.offset = *offset;
  one.value = text_of(member_of(fields, "value"));
  one.key = text_of(member_of(fields, "key"));
  one.content_type = text_of(member_of(fields, "content-type"));
  one.schema_version = parse_schema_version(text_of(member_of(fields, "schema-version")));
  one.time_ms = *offset >> 21;
  into.push_back(one);
}

bool redis_feed::send_acks(stream_place& stream) {
  while (!stream.unacked.empty() && stream.unacked.front() < stream.committed) {
    std::vector<std::string> ids;
    for (const auto offset : stream.unacked) {
      if (offset >= stream.committed || ids.size() == acks_at_once) break;
      ids.push_back(redis_id_of_offset(offset));
    }
    std::vector<std::string_view> words{"XACK", stream.key, spec_.group};
    words.insert(words.end(), ids.begin(), ids.end());
    stream.unacked.erase(stream.unacked.begin(),
                         stream.unacked.begin() + static_cast<std::ptrdiff_t>(ids.size()));
    if (ask(words) == nullptr) return false;
  }
  return true;
}

result<void> redis_feed::commit(const std::string& partition, std::uint64_t next) {
  for (auto& stream : streams_) {
    if (stream.key != partition) continue;
    stream.committed = std::max(stream.committed, next);
    send_acks(stream);  // what fails here, poll tells
  }
  return {};
}

void redis_feed::look_at_lag() {
  if (!redis_.is_open() || steady::now() < look_next_) return;
  look_next_ = steady::now() + look_every;
  for (auto& stream : streams_) {
    const auto groups = ask({"XINFO", "GROUPS", stream.key});
    for (std::size_t i = 0; groups != nullptr && i < groups->elements; ++i) {
      const auto* group = groups->element[i];
      if (text_of(member_of(group, "name")) != spec_.group) continue;
      const auto* lag = member_of(group, "lag");
      if (lag != nullptr && lag->type == REDIS_REPLY_INTEGER && lag->integer >= 0) {
        stream.unread = static_cast<std::uint64_t>(lag->integer);
      }
    }
  }
}

bool redis_feed::write_dead_letter(const broker_message& message, std::string_view reason) {
  if (spec_.dead_letter.empty()) return false;
  const auto offset = std::to_string(message.offset);
  std::vector<std::string_view> words{"XADD",
                                      spec_.dead_letter,
                                      "*",
                                      "value",
                                      message.value,
                                      "reason",
                                      reason,
                                      "partition",
                                      message.partition,
                                      "offset",
                                      offset};
  if (!message.key.empty()) words.insert(words.end(), {"key", message.key});
  if (!message.content_type.empty()) {
    words.insert(words.end(), {"content-type", message.content_type});
  }
  return ask(words) != nullptr;
}

result<void> redis_feed::dead_letter(const broker_message& message, std::string_view reason) {
  letter_count_.add(message, reason, write_dead_letter(message, reason));
  return {};
}

broker_feed::state redis_feed::look() const {
  auto now = state_;
  for (const auto& stream : streams_) {
    if (stream.next) now.lag[stream.key] = stream.unread + stream.unacked.size();
  }
  return now;
}

}  // namespace

result<std::unique_ptr<broker_feed>> open_redis_feed(const feed_spec& spec,
                                                     const feed_positions& next) {
  if (spec.tls) {
    return error{errc::bad_config,
                 "redis: no TLS with this client library; use a Unix socket or "
                 "a tunnel"};
  }
  return std::unique_ptr<broker_feed>(std::make_unique<redis_feed>(spec, next));
}

}  // namespace headrace::worker
