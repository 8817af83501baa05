#include "storage/engines/kafka_partition.hpp"

#include "base/parse_number.hpp"
#include "storage/engines/message_groups.hpp"
#include "storage/engines/patience.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <utility>

namespace headrace::storage {
namespace {

using steady = std::chrono::steady_clock;
using kafka_event = std::unique_ptr<rd_kafka_event_t, freed_by<rd_kafka_event_destroy>>;
using kafka_queue = std::unique_ptr<rd_kafka_queue_t, freed_by<rd_kafka_queue_destroy>>;
using kafka_topics =
    std::unique_ptr<const rd_kafka_metadata_t, freed_by<rd_kafka_metadata_destroy>>;
using admin_options =
    std::unique_ptr<rd_kafka_AdminOptions_t, freed_by<rd_kafka_AdminOptions_destroy>>;
using config_resource =
    std::unique_ptr<rd_kafka_ConfigResource_t, freed_by<rd_kafka_ConfigResource_destroy>>;
using records_to_delete =
    std::unique_ptr<rd_kafka_DeleteRecords_t, freed_by<rd_kafka_DeleteRecords_destroy>>;
constexpr int partition = 0;
constexpr std::int64_t ask_ms_max = 2'000;
constexpr int step_ms = 50;
constexpr auto none = RD_KAFKA_RESP_ERR_NO_ERROR;

bool is_forbidden(rd_kafka_resp_err_t code) {
  constexpr std::array such{RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
                            RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
                            RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                            RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
                            RD_KAFKA_RESP_ERR_POLICY_VIOLATION};
  return std::ranges::find(such, code) != such.end();
}

admin_options admin_for(rd_kafka_t* client, rd_kafka_admin_op_t what, int ask_ms) {
  admin_options made(rd_kafka_AdminOptions_new(client, what));
  std::array<char, 256> why{};
  rd_kafka_AdminOptions_set_request_timeout(made.get(), ask_ms, why.data(), why.size());
  return made;
}

void read_settings(const rd_kafka_ConfigResource_t* topic, kafka_partition::topic_settings& into) {
  std::size_t count = 0;
  const auto** entries = rd_kafka_ConfigResource_configs(topic, &count);
  for (std::size_t i = 0; i < count; ++i) {
    const char* text = rd_kafka_ConfigEntry_value(entries[i]);
    if (text == nullptr) continue;
    const std::string_view name = rd_kafka_ConfigEntry_name(entries[i]);
    const std::string_view value = text;
    if (name == "max.message.bytes") into.message_bytes_max = parse_number<std::size_t>(value);
    if (name == "cleanup.policy") into.cleanup = value;
    if (name == "retention.ms" || name == "retention.bytes") into.forgets |= value != "-1";
  }
}

}  // namespace

kafka_partition::kafka_partition(broker_login login, std::string topic, std::int64_t patience_ms)
    : login_(std::move(login)),
      topic_(std::move(topic)),
      name_("topic " + topic_ + " at " + login_.endpoints),
      patience_ms_(patience_ms),
      ask_ms_(static_cast<int>(std::clamp<std::int64_t>(patience_ms, step_ms, ask_ms_max))) {}

error kafka_partition::refused(rd_kafka_resp_err_t code) const {
  return {errc::io_error, name_ + ": " + rd_kafka_err2str(code)};
}

error kafka_partition::unavailable(rd_kafka_resp_err_t code) const {
  return {errc::unavailable,
          name_ + ": " + rd_kafka_err2str(code) + (trouble_.empty() ? "" : " (" + trouble_ + ")")};
}

// Asks until there is an answer, or a refusal that stays one.
template <class Ask>
result<void> kafka_partition::ask(const Ask& what) {
  patience still(patience_ms_);
  auto last = none;
  do {
    last = what();
    rd_kafka_poll(client_.get(), 0);
    if (last == none) trouble_.clear();
    if (last == none) return {};
    if (is_final(last) || is_forbidden(last)) return refused(last);
  } while (still.again());
  return unavailable(last);
}

result<void> kafka_partition::open() {
  if (!is_topic_name(topic_))
    return error{errc::bad_config, "'" + topic_ + "' is no topic: letters, digits, . _ -"};
  const std::array<std::pair<const char*, std::string>, 9> more{{
      {"allow.auto.create.topics", "false"},
      {"auto.offset.reset", "error"},
      {"enable.auto.commit", "false"},
      {"isolation.level", "read_uncommitted"},  // what stands there, whoever wrote it
      {"fetch.wait.max.ms", "1"},               // what is asked next waits behind a fetch
      {"fetch.error.backoff.ms", "50"},
      {"queued.max.messages.kbytes", "32768"},
      {"reconnect.backoff.max.ms", "500"},
      {"socket.nagle.disable", "true"},
  }};
  auto settings = make_kafka_settings(login_, more);
  if (!settings) return settings.error();
  rd_kafka_conf_set_opaque(settings->get(), this);
  rd_kafka_conf_set_error_cb(settings->get(), [](rd_kafka_t*, int, const char* words, void* self) {
    static_cast<kafka_partition*>(self)->trouble_ = words;
  });
  auto made = make_kafka_handle(RD_KAFKA_CONSUMER, std::move(*settings));
  if (!made) return made.error();
  client_ = std::move(*made);
  handle_.reset(rd_kafka_topic_new(client_.get(), topic_.c_str(), nullptr));
  if (!handle_) return refused(rd_kafka_last_error());
  int partitions = 0;
  auto said = none;
  auto asked = ask([&] {
    const rd_kafka_metadata_t* about = nullptr;
    const auto failed = rd_kafka_metadata(client_.get(), 0, handle_.get(), &about, ask_ms_);
    if (failed != none) return failed;
    const kafka_topics owned(about);
    said = about->topic_cnt == 1 ? about->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (is_unknown_topic(said)) return none;
    if (said == none) partitions = about->topics[0].partition_cnt;
    if (said == none && partitions == 1) leader_ = about->topics[0].partitions[0].leader;
    return said == none && partitions == 1 && leader_ < 0 ? RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
                                                          : said;
  });
  if (!asked) return asked;
  if (is_unknown_topic(said)) {
    return error{errc::not_found,
                 name_ +
                     " is not there: make it with one partition, cleanup.policy=delete, "
                     "retention.ms=-1 and retention.bytes=-1"};
  }
  if (partitions != 1) {
    return error{errc::bad_config,
                 name_ + " has " + std::to_string(partitions) +
                     " partitions, and a log has one order: make a topic with one"};
  }
  return {};
}

result<kafka_partition::topic_settings> kafka_partition::ask_settings() {
  topic_settings made;
  const kafka_queue answers(rd_kafka_queue_new(client_.get()));
  const auto how = admin_for(client_.get(), RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, ask_ms_);
  // Every broker knows; the library would look for the controller.
  rd_kafka_AdminOptions_set_broker(how.get(), leader_, nullptr, 0);
  auto asked = ask([&] {
    const config_resource topic(
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic_.c_str()));
    auto* one = topic.get();
    rd_kafka_DescribeConfigs(client_.get(), &one, 1, how.get(), answers.get());
    const kafka_event answer(rd_kafka_queue_poll(answers.get(), ask_ms_ + step_ms));
    if (!answer) return RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (const auto failed = rd_kafka_event_error(answer.get()); failed != none) return failed;
    std::size_t count = 0;
    const auto** topics = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(answer.get()), &count);
    if (count != 1) return RD_KAFKA_RESP_ERR__TIMED_OUT;
    const auto failed = rd_kafka_ConfigResource_error(topics[0]);
    if (failed == none) read_settings(topics[0], made);
    return failed;
  });
  if (!asked && asked.error().code == errc::unavailable) return asked.error();
  return made;  // who may not ask goes without
}

// The library's call for both at once takes a partition of which it got one answer for an empty
// one.
result<std::uint64_t> kafka_partition::ask_offset(std::int64_t which) {
  std::uint64_t offset = 0;
  auto asked = ask([&] {
    const kafka_partitions wanted(rd_kafka_topic_partition_list_new(1));
    auto* one = rd_kafka_topic_partition_list_add(wanted.get(), topic_.c_str(), partition);
    one->offset = which;
    const auto failed = rd_kafka_offsets_for_times(client_.get(), wanted.get(), ask_ms_);
    if (failed != none) return failed;
    if (one->err == none && one->offset < 0) return RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE;
    offset = static_cast<std::uint64_t>(one->offset);
    return one->err;
  });
  if (!asked) return asked.error();
  return offset;
}

result<message_stream::extent> kafka_partition::look() {
  const auto first = ask_offset(RD_KAFKA_OFFSET_BEGINNING);
  if (!first) return first.error();
  const auto end = ask_offset(RD_KAFKA_OFFSET_END);
  if (!end) return end.error();
  return message_stream::extent{*first + 1, std::max(*first, *end) + 1};
}

result<void> kafka_partition::scan(std::uint64_t from, std::uint64_t end, const visitor& visit) {
  if (from >= end) return {};
  if (rd_kafka_consume_start(handle_.get(), partition, static_cast<std::int64_t>(from - 1)) != 0)
    return refused(rd_kafka_last_error());
  auto taken = take(from, end, visit);
  rd_kafka_consume_stop(handle_.get(), partition);
  if (!taken && taken.error().code == errc::not_found) return missing(from);
  return taken;
}

result<void> kafka_partition::take(std::uint64_t from, std::uint64_t end, const visitor& visit) {
  const auto patience = std::chrono::milliseconds(patience_ms_);
  auto deadline = steady::now() + patience;
  for (std::uint64_t next = from; next < end;) {
    const kafka_message one(rd_kafka_consume(handle_.get(), partition, step_ms));
    rd_kafka_poll(client_.get(), 0);
    const auto failed = one ? one->err : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (failed == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) return error{errc::not_found, {}};
    if (is_final(failed)) return refused(failed);
    if (failed != none) {
      if (steady::now() < deadline) continue;
      const auto kept = look();
      if (kept && (kept->next <= next || kept->first > next)) return missing(next);
      return unavailable(failed);
    }
    const auto position = static_cast<std::uint64_t>(one->offset) + 1;
    if (position < next) continue;
    if (position > next) return missing(next);
    const auto more = visit(position, *one);
    if (!more) return more.error();
    if (!*more) break;
    ++next;
    deadline = steady::now() + patience;
  }
  return {};
}

error kafka_partition::missing(std::uint64_t position) {
  const auto kept = look();
  if (!kept) return kept.error();
  return missing_message(name_, kept->first, position);
}

result<bool> kafka_partition::remove_before(std::uint64_t position) {
  bool may = true;
  const kafka_queue answers(rd_kafka_queue_new(client_.get()));
  const auto how = admin_for(client_.get(), RD_KAFKA_ADMIN_OP_DELETERECORDS, ask_ms_);
  auto asked = ask([&] {
    const kafka_partitions before(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(before.get(), topic_.c_str(), partition)->offset =
        static_cast<std::int64_t>(position - 1);
    const records_to_delete records(rd_kafka_DeleteRecords_new(before.get()));
    auto* one = records.get();
    rd_kafka_DeleteRecords(client_.get(), &one, 1, how.get(), answers.get());
    const kafka_event answer(rd_kafka_queue_poll(answers.get(), ask_ms_ + step_ms));
    if (!answer) return RD_KAFKA_RESP_ERR__TIMED_OUT;
    auto failed = rd_kafka_event_error(answer.get());
    if (failed == none) {
      const auto* told =
          rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(answer.get()));
      failed = told->cnt == 1 ? told->elems[0].err : RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    may = !is_forbidden(failed);
    return may ? failed : none;
  });
  if (!asked) return asked.error();
  return may;
}

}  // namespace headrace::storage
