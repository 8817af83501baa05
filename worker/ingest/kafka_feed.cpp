#include "worker/ingest/kafka_feed.hpp"

#include "base/log.hpp"
#include "storage/engines/kafka_link.hpp"
#include "worker/ingest/feed_support.hpp"
#include "worker/ingest/kafka_dead_letters.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <set>

namespace headrace::worker {
namespace {

using storage::header_of;
using storage::is_final;
using storage::is_topic_name;
using storage::is_unknown_topic;
using storage::kafka_handle;
using storage::kafka_message;
using storage::kafka_partitions;
using storage::make_kafka_handle;
using storage::make_kafka_settings;
using steady = std::chrono::steady_clock;
constexpr int ask_ms = 2'000;  // for offsets, of a broker that is there
constexpr int fetch_wait_ms = 100;
// A broker answers a connection's requests in order: what is asked waits behind a fetch.
constexpr int probe_ms = fetch_wait_ms + 200;
constexpr auto probe_every = std::chrono::milliseconds(500);

/// Where one partition stands.
struct partition_place {
  std::uint64_t next = 0;                        // to be read
  std::uint64_t committed = 0;                   // in the log
  std::int64_t group = RD_KAFKA_OFFSET_INVALID;  // where it stood when it was last asked
  bool was_ours = false;                         // assigned before
};

std::string name_of(const char* topic, std::int32_t partition) {
  return std::string(topic) + "/" + std::to_string(partition);
}

/// "topic/3" as the library has it. Names come from it, so they are whole.
std::pair<std::string, std::int32_t> split_name(const std::string& name) {
  const auto slash = name.rfind('/');
  return {name.substr(0, slash), static_cast<std::int32_t>(std::stol(name.substr(slash + 1)))};
}

class kafka_feed final : public broker_feed {
 public:
  kafka_feed(const feed_spec& spec, const feed_positions& next)
      : spec_(spec),
        link_("kafka " + spec.endpoints, state_),
        letters_(spec, state_.dead_letters_lost),
        letter_count_(state_) {
    for (const auto& [partition, offset] : next)
      places_[partition] = {.next = offset, .committed = offset};
  }
  ~kafka_feed() override { close(); }

  result<void> start();
  result<void> poll(std::chrono::milliseconds patience,
                    std::size_t messages_max,
                    std::vector<broker_message>& into) override;
  result<void> commit(const std::string& partition, std::uint64_t next) override;
  void pause() override { log_is_full_ = true; }
  void resume() override { log_is_full_ = false; }
  result<void> dead_letter(const broker_message& message, std::string_view reason) override;
  state look() const override;

 private:
  void close();
  void on_rebalance(rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* partitions);
  void assign(rd_kafka_topic_partition_list_t* partitions);
  void place(rd_kafka_topic_partition_list_t* partitions);
  void on_error(rd_kafka_resp_err_t code, std::string_view words);
  void probe();
  void set_paused(bool paused);
  template <class Work>
  void guard(Work work) noexcept;
  void take(kafka_message message, std::vector<broker_message>& into);
  void find_places_again();
  bool find_place_again(const std::string& name);
  std::optional<std::uint64_t> ask_offset(const std::string& name, std::int64_t which);
  void fail(errc code, std::string words) {
    if (!failure_) failure_ = error{code, "kafka: " + std::move(words)};
  }

  feed_spec spec_;
  state state_;
  link_watch link_;
  kafka_dead_letters letters_;
  dead_letter_count letter_count_;
  kafka_handle consumer_;
  std::map<std::string, partition_place, std::less<>> places_;
  std::vector<std::string> assigned_;
  std::set<std::string> out_of_range_;  // of them: not read until they have a place again
  reconnect_pace place_pace_;
  std::vector<kafka_message> kept_;  // of the last poll
  std::optional<error> failure_;
  std::exception_ptr thrown_;  // from under the library, which it must not pass through
  steady::time_point probe_next_{};
  bool log_is_full_ = false;
  bool paused_ = false;
};

template <class Work>
void kafka_feed::guard(Work work) noexcept {
  try {
    work();
  } catch (...) {
    thrown_ = std::current_exception();
  }
}

result<void> kafka_feed::start() {
  const auto kilobytes = std::clamp<std::size_t>(spec_.poll_bytes_max / 1024, 64, 1 << 20);
  const std::array<std::pair<const char*, std::string>, 10> more{{
      {"group.id", spec_.group},
      {"session.timeout.ms", "10000"},
      {"enable.auto.commit", "true"},  // of what commit() stored
      {"auto.commit.interval.ms", "500"},
      {"enable.auto.offset.store", "false"},
      {"auto.offset.reset", "error"},
      {"allow.auto.create.topics", "false"},
      {"topic.metadata.refresh.interval.ms", "30000"},
      {"fetch.wait.max.ms", std::to_string(fetch_wait_ms)},
      {"queued.max.messages.kbytes", std::to_string(kilobytes)},
  }};
  auto settings = make_kafka_settings(spec_, more);
  if (!settings) return settings.error();
  rd_kafka_conf_set_opaque(settings->get(), this);
  rd_kafka_conf_set_rebalance_cb(settings->get(),
                                 [](rd_kafka_t*, auto what, auto* partitions, void* self) {
                                   auto* feed = static_cast<kafka_feed*>(self);
                                   feed->guard([=] { feed->on_rebalance(what, partitions); });
                                 });
  rd_kafka_conf_set_error_cb(settings->get(), [](rd_kafka_t*, int code, auto* words, void* self) {
    auto* feed = static_cast<kafka_feed*>(self);
    feed->guard([=] { feed->on_error(static_cast<rd_kafka_resp_err_t>(code), words); });
  });
  auto made = make_kafka_handle(RD_KAFKA_CONSUMER, std::move(*settings));
  if (!made) return made.error();
  consumer_ = std::move(*made);
  rd_kafka_poll_set_consumer(consumer_.get());
  const kafka_partitions topics(rd_kafka_topic_partition_list_new(1));
  for (const auto& topic : spec_.topics) {
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const auto failed = rd_kafka_subscribe(consumer_.get(), topics.get());
  if (failed == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return error{errc::bad_config, "kafka: " + std::string(rd_kafka_err2str(failed))};
}

void kafka_feed::close() {
  kept_.clear();
  if (consumer_ != nullptr) rd_kafka_consumer_close(consumer_.get());
  consumer_.reset();
}

void kafka_feed::on_rebalance(rd_kafka_resp_err_t what,
                              rd_kafka_topic_partition_list_t* partitions) {
  assigned_.clear();
  out_of_range_.clear();
  if (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    rd_kafka_assign(consumer_.get(), nullptr);
    return;
  }
  assign(partitions);
  link_.up();
}

void kafka_feed::assign(rd_kafka_topic_partition_list_t* partitions) {
  assigned_.clear();
  place(partitions);
  rd_kafka_assign(consumer_.get(), partitions);
  if (paused_) rd_kafka_pause_partitions(consumer_.get(), partitions);
}

/// Sets where each partition is read from.
void kafka_feed::place(rd_kafka_topic_partition_list_t* partitions) {
  const kafka_partitions told(rd_kafka_topic_partition_list_copy(partitions));
  const bool knows =
      rd_kafka_committed(consumer_.get(), told.get(), ask_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
  for (int i = 0; i < partitions->cnt; ++i) {
    auto& one = partitions->elems[i];
    const auto group = knows ? told->elems[i].offset : RD_KAFKA_OFFSET_INVALID;
    const auto name = name_of(one.topic, one.partition);
    assigned_.push_back(name);
    const auto known = places_.find(name);
    if (known == places_.end()) {  // the library asks again where we got no answer
      one.offset = knows && group < 0 ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_STORED;
      if (group >= 0) {
        const auto at = static_cast<std::uint64_t>(group);
        places_[name] = {at, at, group, true};
        one.offset = group;
      }
      continue;
    }
    auto& at = known->second;
    if (group >= 0 && group != at.group && static_cast<std::uint64_t>(group) > at.next) {
      log_warn("feed.behind_group",
               {{"partition", name}, {"next", at.next}, {"group", group}, {"ours", at.was_ours}});
      // Another member read on while the partition was away; at the start only the log counts.
      if (at.was_ours) at.next = at.committed = static_cast<std::uint64_t>(group);
    }
    if (knows) at.group = group;
    at.was_ours = true;
    one.offset = static_cast<std::int64_t>(at.next);
  }
}

void kafka_feed::on_error(rd_kafka_resp_err_t code, std::string_view words) {
  if (is_final(code)) {
    fail(errc::io_error, std::string(words));
  } else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    link_.down(words);
  }
  state_.last_error = words;
}

/// While nothing is heard, asks any broker for the topics. No answer in time says nothing.
void kafka_feed::probe() {
  if (state_.connected || steady::now() < probe_next_) return;
  probe_next_ = steady::now() + probe_every;
  const rd_kafka_metadata_t* about = nullptr;
  const auto failed = rd_kafka_metadata(consumer_.get(), 0, nullptr, &about, probe_ms);
  if (failed == RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_metadata_destroy(about);
    link_.up();
  } else if (failed != RD_KAFKA_RESP_ERR__TIMED_OUT) {
    link_.down(rd_kafka_err2str(failed));
  } else if (state_.last_error.empty()) {
    state_.last_error = rd_kafka_err2str(failed);
  }
}

result<void> kafka_feed::poll(std::chrono::milliseconds patience,
                              std::size_t messages_max,
                              std::vector<broker_message>& into) {
  kept_.clear();
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  letters_.look();
  set_paused(log_is_full_ || !letters_.has_room());
  probe();
  find_places_again();
  std::size_t bytes = 0;
  auto wait = static_cast<int>(patience.count());
  const auto first = into.size();
  while (into.size() - first < messages_max && bytes < spec_.poll_bytes_max && !failure_) {
    kafka_message message(rd_kafka_consumer_poll(consumer_.get(), wait));
    if (message == nullptr) break;
    bytes += message->len;
    take(std::move(message), into);
    wait = 0;
  }
  if (failure_ && into.size() == first) return *failure_;
  return {};
}

/// A message, or what the library has to say.
void kafka_feed::take(kafka_message message, std::vector<broker_message>& into) {
  const char* topic = message->rkt == nullptr ? "" : rd_kafka_topic_name(message->rkt);
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const std::string words = rd_kafka_message_errstr(message.get());
    state_.last_error = words;
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
      out_of_range_.insert(name_of(topic, message->partition));
    } else if (is_final(message->err) || (is_unknown_topic(message->err) && assigned_.empty())) {
      fail(errc::io_error, words);
    }
    return;
  }
  const auto offset = static_cast<std::uint64_t>(message->offset);
  auto [found, is_new] =
      places_.try_emplace(name_of(topic, message->partition),
                          partition_place{.next = offset, .committed = offset, .was_ours = true});
  if (offset < found->second.next) return;  // fetched before a seek
  found->second.next = offset + 1;
  broker_message one;
  one.partition = found->first;
  one.offset = offset;
  one.key = {static_cast<const char*>(message->key), message->key_len};
  one.tombstone = message->payload == nullptr;
  one.value = {static_cast<const char*>(message->payload), message->len};
  if (one.tombstone) ++state_.tombstones;
  const auto time = rd_kafka_message_timestamp(message.get(), nullptr);
  one.time_ms = time > 0 ? static_cast<std::uint64_t>(time) : 0;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(message.get(), &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    one.content_type = header_of(headers, "content-type");
    one.schema_version = parse_schema_version(header_of(headers, "schema-version"));
  }
  into.push_back(one);
  kept_.push_back(std::move(message));
}

/// The library tells once that a partition has nothing at the offset we want, then leaves it alone,
/// deaf to seeks: it is assigned anew, when the broker has said where it can be read.
void kafka_feed::find_places_again() {
  if (out_of_range_.empty() || !place_pace_.is_due(steady::now())) return;
  const auto found =
      std::erase_if(out_of_range_, [this](const auto& name) { return find_place_again(name); });
  out_of_range_.empty() ? place_pace_.worked() : place_pace_.failed(steady::now());
  rd_kafka_topic_partition_list_t* current = nullptr;
  if (found == 0 || failure_ ||
      rd_kafka_assignment(consumer_.get(), &current) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return;
  }
  const kafka_partitions owned(current);
  assign(current);
}

/// Where a partition begins or ends. The library's call for both at once takes a partition of which
/// it got one answer for an empty one.
std::optional<std::uint64_t> kafka_feed::ask_offset(const std::string& name, std::int64_t which) {
  const auto [topic, partition] = split_name(name);
  const kafka_partitions asked(rd_kafka_topic_partition_list_new(1));
  auto* one = rd_kafka_topic_partition_list_add(asked.get(), topic.c_str(), partition);
  one->offset = which;
  const auto failed = rd_kafka_offsets_for_times(consumer_.get(), asked.get(), ask_ms);
  if (failed == RD_KAFKA_RESP_ERR_NO_ERROR && one->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
      one->offset >= 0) {
    return static_cast<std::uint64_t>(one->offset);
  }
  state_.last_error = rd_kafka_err2str(failed != RD_KAFKA_RESP_ERR_NO_ERROR ? failed : one->err);
  return std::nullopt;
}

/// Older messages are gone, or it is another topic. False: no answer.
bool kafka_feed::find_place_again(const std::string& name) {
  const auto low = ask_offset(name, RD_KAFKA_OFFSET_BEGINNING);
  const auto high = ask_offset(name, RD_KAFKA_OFFSET_END);
  if (!low || !high) return false;
  const std::uint64_t oldest = *low;
  auto& at =
      places_
          .try_emplace(name, partition_place{.next = oldest, .committed = oldest, .was_ours = true})
          .first->second;
  if (at.next > *high) {
    fail(errc::bad_input,
         name + " ends at offset " + std::to_string(*high) + ", the event log has read to " +
             std::to_string(at.next) +
             ": this is not the topic it was; give the source a new name");
  } else if (at.next < oldest) {
    state_.missing += oldest - at.next;
    log_warn("feed.missing", {{"partition", name}, {"from", at.next}, {"to", oldest}});
    at.next = oldest;
  }
  return true;
}

result<void> kafka_feed::commit(const std::string& partition, std::uint64_t next) {
  const auto found = places_.find(partition);
  if (found == places_.end()) return {};
  found->second.committed = std::max(found->second.committed, next);
  if (std::find(assigned_.begin(), assigned_.end(), partition) == assigned_.end()) return {};
  const auto [topic, number] = split_name(partition);
  const kafka_partitions list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), number)->offset =
      static_cast<std::int64_t>(next);
  const auto failed = rd_kafka_offsets_store(consumer_.get(), list.get());
  if (failed != RD_KAFKA_RESP_ERR_NO_ERROR) state_.last_error = rd_kafka_err2str(failed);
  return {};
}

void kafka_feed::set_paused(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  rd_kafka_topic_partition_list_t* current = nullptr;
  if (rd_kafka_assignment(consumer_.get(), &current) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const kafka_partitions owned(current);
  if (paused) rd_kafka_pause_partitions(consumer_.get(), current);
  if (!paused) rd_kafka_resume_partitions(consumer_.get(), current);
}

result<void> kafka_feed::dead_letter(const broker_message& message, std::string_view reason) {
  letter_count_.add(message, reason, letters_.write(message, reason));
  return {};
}

broker_feed::state kafka_feed::look() const {
  auto now = state_;
  for (const auto& name : assigned_) {
    const auto [topic, number] = split_name(name);
    std::int64_t low = 0;
    std::int64_t high = 0;
    if (rd_kafka_get_watermark_offsets(consumer_.get(), topic.c_str(), number, &low, &high) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        high < 0) {
      continue;
    }
    const auto found = places_.find(name);
    const auto at = static_cast<std::int64_t>(found == places_.end() ? 0 : found->second.committed);
    now.lag[name] = static_cast<std::uint64_t>(std::max<std::int64_t>(0, high - at));
  }
  return now;
}

}  // namespace

result<std::unique_ptr<broker_feed>> open_kafka_feed(const feed_spec& spec,
                                                     const feed_positions& next) {
  for (const auto& topic : spec.topics) {
    if (!is_topic_name(topic)) {
      return error{errc::bad_config, "kafka: '" + topic + "' is no topic: letters, digits, . _ -"};
    }
  }
  auto feed = std::make_unique<kafka_feed>(spec, next);
  if (auto started = feed->start(); !started) return started.error();
  return std::unique_ptr<broker_feed>(std::move(feed));
}

}  // namespace headrace::worker
