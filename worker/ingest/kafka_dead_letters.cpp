#include "worker/ingest/kafka_dead_letters.hpp"

#include "base/log.hpp"

#include <array>

namespace headrace::worker {
namespace {

constexpr int given_up_ms = 30'000;
constexpr int step_ms = 100;

using storage::kafka_headers;

void add(const kafka_headers& headers, const char* name, std::string_view value) {
  rd_kafka_header_add(headers.get(), name, -1, value.data(), static_cast<ssize_t>(value.size()));
}

}  // namespace

void kafka_dead_letters::count(rd_kafka_t*, const rd_kafka_message_t* letter, void* waiting) {
  auto* all = static_cast<backlog*>(waiting);
  all->bytes -= letter->key_len + letter->len;
  --all->letters;
  if (letter->err != RD_KAFKA_RESP_ERR_NO_ERROR) ++all->lost;
}

result<void> kafka_dead_letters::start() {
  const std::array<std::pair<const char*, std::string>, 4> more{
      {{"message.timeout.ms", std::to_string(given_up_ms)},
       {"message.max.bytes", std::to_string(16 << 20)},  // what a topic takes, its broker says
       {"queue.buffering.max.messages", "20000"},
       {"queue.buffering.max.kbytes", std::to_string(64 << 10)}}};
  auto settings = storage::make_kafka_settings(spec_, more);
  if (!settings) return settings.error();
  rd_kafka_conf_set_dr_msg_cb(settings->get(), count);
  rd_kafka_conf_set_opaque(settings->get(), &waiting_);
  auto made = storage::make_kafka_handle(RD_KAFKA_PRODUCER, std::move(*settings));
  if (!made) return made.error();
  producer_ = std::move(*made);
  return {};
}

kafka_dead_letters::~kafka_dead_letters() {
  if (producer_ == nullptr) return;
  rd_kafka_flush(producer_.get(), 2'000);
  waiting_.lost += waiting_.letters;
}

void kafka_dead_letters::look() {
  if (producer_ != nullptr) rd_kafka_poll(producer_.get(), 0);
}

bool kafka_dead_letters::write(const broker_message& message, std::string_view reason) {
  if (spec_.dead_letter.empty() || failed_) return false;
  if (producer_ == nullptr) {
    if (auto started = start(); !started) {
      failed_ = true;
      log_warn("feed.dead_letter", {{"why", started.error().detail}});
      return false;
    }
  }
  kafka_headers headers(rd_kafka_headers_new(4));
  add(headers, "reason", reason);
  add(headers, "partition", message.partition);
  add(headers, "offset", std::to_string(message.offset));
  if (!message.content_type.empty()) add(headers, "content-type", message.content_type);
  std::array<rd_kafka_vu_t, 5> parts{};
  parts[0].vtype = RD_KAFKA_VTYPE_TOPIC;
  parts[0].u.cstr = spec_.dead_letter.c_str();
  parts[1].vtype = RD_KAFKA_VTYPE_KEY;
  parts[1].u.mem = {const_cast<char*>(message.key.data()), message.key.size()};
  parts[2].vtype = RD_KAFKA_VTYPE_VALUE;
  parts[2].u.mem = {const_cast<char*>(message.value.data()), message.value.size()};
  parts[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  parts[3].u.i = RD_KAFKA_MSG_F_COPY;
  parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
  parts[4].u.headers = headers.get();
  rd_kafka_error_t* failed = nullptr;
  for (int waited_ms = 0;; waited_ms += step_ms) {
    failed = rd_kafka_produceva(producer_.get(), parts.data(), parts.size());
    if (failed == nullptr || rd_kafka_error_code(failed) != RD_KAFKA_RESP_ERR__QUEUE_FULL ||
        waited_ms > given_up_ms) {
      break;
    }
    rd_kafka_error_destroy(failed);
    rd_kafka_poll(producer_.get(), step_ms);
  }
  if (failed == nullptr) {
    (void)headers.release();  // the message's now
    waiting_.bytes += message.key.size() + message.value.size();
    ++waiting_.letters;
    look();
    return true;
  }
  log_warn("feed.dead_letter", {{"why", rd_kafka_error_string(failed)}});
  rd_kafka_error_destroy(failed);
  return false;
}

}  // namespace headrace::worker
