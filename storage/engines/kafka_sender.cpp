#include "storage/engines/kafka_sender.hpp"

#include "storage/engines/message_stream.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>

namespace headrace::storage {
namespace {

using steady = std::chrono::steady_clock;
using kafka_error = std::unique_ptr<rd_kafka_error_t, freed_by<rd_kafka_error_destroy>>;
constexpr int step_ms = 100;
constexpr std::chrono::seconds grace{5};  // the library looks for what is late once a second

void add(const kafka_headers& headers, const char* name, const std::string& value) {
  rd_kafka_header_add(headers.get(), name, -1, value.data(), static_cast<ssize_t>(value.size()));
}

}  // namespace

kafka_sender::kafka_sender(broker_login login, std::string topic, std::int64_t timeout_ms)
    : login_(std::move(login)),
      topic_(std::move(topic)),
      timeout_ms_(std::clamp<std::int64_t>(timeout_ms, 1, 300'000)) {}

void kafka_sender::set_bytes_max(std::size_t bytes) {
  const auto most = std::clamp<std::size_t>(bytes, 1'000, 1'000'000'000);
  if (most == bytes_max_) return;
  bytes_max_ = most;
  producer_.reset();
}

void kafka_sender::hear(rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
  auto& sender = *static_cast<kafka_sender*>(self);
  if (reinterpret_cast<std::uintptr_t>(message->_private) != sender.sent_) return;
  delivery told;
  told.failed = message->err;
  told.may_be_there = rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
  if (message->offset >= 0) told.position = static_cast<std::uint64_t>(message->offset) + 1;
  if (told.failed != RD_KAFKA_RESP_ERR_NO_ERROR) {
    told.words = rd_kafka_err2str(told.failed);
    if (!sender.trouble_.empty()) told.words += " (" + sender.trouble_ + ")";
  }
  sender.told_ = std::move(told);
}

result<void> kafka_sender::start() {
  const std::array<std::pair<const char*, std::string>, 9> more{{
      {"enable.idempotence", "true"},
      {"acks", "all"},
      {"max.in.flight.requests.per.connection", "1"},
      {"message.timeout.ms", std::to_string(timeout_ms_)},
      {"message.max.bytes", std::to_string(bytes_max_)},
      {"socket.timeout.ms", "5000"},  // then it is sent again, and the broker knows it
      {"linger.ms", "0"},
      {"reconnect.backoff.max.ms", "500"},
      {"socket.nagle.disable", "true"},
  }};
  auto settings = make_kafka_settings(login_, more);
  if (!settings) return settings.error();
  rd_kafka_conf_set_opaque(settings->get(), this);
  rd_kafka_conf_set_dr_msg_cb(settings->get(), hear);
  rd_kafka_conf_set_error_cb(settings->get(), [](rd_kafka_t*, int, const char* words, void* self) {
    static_cast<kafka_sender*>(self)->trouble_ = words;
  });
  auto made = make_kafka_handle(RD_KAFKA_PRODUCER, std::move(*settings));
  if (!made) return made.error();
  producer_ = std::move(*made);
  trouble_.clear();
  return {};
}

result<kafka_sender::delivery> kafka_sender::send(const message& what) {
  if (!producer_) {
    if (auto started = start(); !started) return started.error();
  }
  told_.reset();
  ++sent_;
  kafka_headers headers(rd_kafka_headers_new(2));
  add(headers, records_header, what.records);
  add(headers, written_for_header, what.written_for);
  std::array<rd_kafka_vu_t, 6> parts{};
  parts[0].vtype = RD_KAFKA_VTYPE_TOPIC;
  parts[0].u.cstr = topic_.c_str();
  parts[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  parts[1].u.i32 = 0;
  parts[2].vtype = RD_KAFKA_VTYPE_VALUE;
  parts[2].u.mem = {const_cast<std::byte*>(what.bytes.data()), what.bytes.size()};
  parts[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  parts[3].u.i = RD_KAFKA_MSG_F_COPY;
  parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
  parts[4].u.headers = headers.get();
  parts[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
  parts[5].u.ptr = reinterpret_cast<void*>(sent_);  // NOLINT(performance-no-int-to-ptr)
  const kafka_error failed(rd_kafka_produceva(producer_.get(), parts.data(), parts.size()));
  if (failed) {
    delivery none{
        rd_kafka_error_code(failed.get()), false, {}, rd_kafka_error_string(failed.get())};
    producer_.reset();
    return none;
  }
  (void)headers.release();  // the message's now
  const auto end = steady::now() + std::chrono::milliseconds(timeout_ms_) + grace;
  while (!told_ && steady::now() < end) rd_kafka_poll(producer_.get(), step_ms);
  if (!told_) told_ = delivery{RD_KAFKA_RESP_ERR__TIMED_OUT, true, {}, "no answer"};
  if (told_->failed != RD_KAFKA_RESP_ERR_NO_ERROR) producer_.reset();
  return *told_;
}

}  // namespace headrace::storage
