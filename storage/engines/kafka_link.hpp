#pragma once

#include "base/freed_by.hpp"
#include "base/result.hpp"
#include "storage/engines/broker_login.hpp"

#include <librdkafka/rdkafka.h>
#include <memory>
#include <span>
#include <string>
#include <utility>

/// librdkafka's objects with owners, and the settings that consumer and producer share.
namespace headrace::storage {

using kafka_handle = std::unique_ptr<rd_kafka_t, freed_by<rd_kafka_destroy>>;
using kafka_message = std::unique_ptr<rd_kafka_message_t, freed_by<rd_kafka_message_destroy>>;
using kafka_partitions = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                         freed_by<rd_kafka_topic_partition_list_destroy>>;
using kafka_settings = std::unique_ptr<rd_kafka_conf_t, freed_by<rd_kafka_conf_destroy>>;

/// Endpoints, client id, user and password of `login`, then `more`. Fails: bad_config, with the
/// library's words.
result<kafka_settings> make_kafka_settings(
    const broker_login& login, std::span<const std::pair<const char*, std::string>> more);
/// A consumer or producer with `settings`. Fails: bad_config.
result<kafka_handle> make_kafka_handle(rd_kafka_type_t type, kafka_settings settings);

}  // namespace headrace::storage
