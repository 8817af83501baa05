#include "worker/ingest/kafka_dead_letters.hpp"

#include "base/log.hpp"

#include <array>

namespace headrace::worker {
namespace {

using kafka_headers = std::unique_ptr<rd_kafka_headers_t, freed_by<rd_kafka_headers_destroy>>;

void add(const kafka_headers& headers, const char* name, std::string_view value) {
  rd_kafka_header_add(headers.get(), name, -1, value.data(), static_cast<ssize_t>(value.size()));
}

void count_lost(rd_kafka_t*, const rd_kafka_message_t* message, void* lost) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) ++*static_cast<std::uint64_t*>(lost);
}

result<kafka_handle> make_producer(const feed_spec& spec, std::uint64_t& lost) {
  const std::array<std::pair<const char*, std::string>, 2> more{
      {{"message.timeout.ms", "30000"}, {"queue.buffering.max.messages", "10000"}}};
  auto settings = make_kafka_settings(spec, more);
  if (!settings) return settings.error();
  rd_kafka_conf_set_dr_msg_cb(settings->get(), count_lost);
  rd_kafka_conf_set_opaque(settings->get(), &lost);
  return make_kafka_handle(RD_KAFKA_PRODUCER, std::move(*settings));
}

}  // namespace

kafka_dead_letters::~kafka_dead_letters() {
  if (producer_ == nullptr) return;
  rd_kafka_flush(producer_.get(), 2'000);
  lost_ += static_cast<std::uint64_t>(rd_kafka_outq_len(producer_.get()));
}

void kafka_dead_letters::look() {
  if (producer_ != nullptr) rd_kafka_poll(producer_.get(), 0);
}

bool kafka_dead_letters::write(const broker_message& message, std::string_view reason) {
  if (spec_.dead_letter.empty() || failed_) return false;
  if (producer_ == nullptr) {
    auto made = make_producer(spec_, lost_);
    if (!made) {
      failed_ = true;
      log_warn("feed.dead_letter", {{"why", made.error().detail}});
      return false;
    }
    producer_ = std::move(*made);
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
  rd_kafka_error_t* failed = rd_kafka_produceva(producer_.get(), parts.data(), parts.size());
  look();
  if (failed == nullptr) {
    (void)headers.release();  // the message's now
    return true;
  }
  log_warn("feed.dead_letter", {{"why", rd_kafka_error_string(failed)}});
  rd_kafka_error_destroy(failed);
  return false;
}

}  // namespace headrace::worker
