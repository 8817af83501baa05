#pragma once

#include "base/freed_by.hpp"
#include "base/result.hpp"
#include "storage/engines/broker_login.hpp"

#include <librdkafka/rdkafka.h>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// librdkafka's objects with owners, and the settings that consumer and producer share.
namespace headrace::storage {

using kafka_handle = std::unique_ptr<rd_kafka_t, freed_by<rd_kafka_destroy>>;
using kafka_topic = std::unique_ptr<rd_kafka_topic_t, freed_by<rd_kafka_topic_destroy>>;
using kafka_message = std::unique_ptr<rd_kafka_message_t, freed_by<rd_kafka_message_destroy>>;
using kafka_partitions = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                         freed_by<rd_kafka_topic_partition_list_destroy>>;
using kafka_headers = std::unique_ptr<rd_kafka_headers_t, freed_by<rd_kafka_headers_destroy>>;
using kafka_settings = std::unique_ptr<rd_kafka_conf_t, freed_by<rd_kafka_conf_destroy>>;

/// Endpoints, client id, user and password of `login`, then `more`. Fails: bad_config, with the
/// library's words.
result<kafka_settings> make_kafka_settings(
    const broker_login& login, std::span<const std::pair<const char*, std::string>> more);
/// A consumer or producer with `settings`. Fails: bad_config.
result<kafka_handle> make_kafka_handle(rd_kafka_type_t type, kafka_settings settings);

/// What a broker will never give, however often it is asked.
bool is_final(rd_kafka_resp_err_t code);
bool is_unknown_topic(rd_kafka_resp_err_t code);
/// Else the library would take it for a pattern, or the broker refuse it.
bool is_topic_name(std::string_view name);
/// The last header of that name; empty: there is none.
std::string_view header_of(const rd_kafka_headers_t* headers, const char* name);

}  // namespace headrace::storage
