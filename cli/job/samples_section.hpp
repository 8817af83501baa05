#pragma once

#include "base/config.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace headrace::cli {

/// What keeps the sample log.
enum class sample_engine : std::uint8_t { segments, jetstream, kafka };
std::string_view name(sample_engine engine);

/// `[samples]`: where sealed batches are kept.
struct samples_spec {
  sample_engine engine = sample_engine::segments;
  // Of a broker.
  std::string servers;  // "nats://host:port,nats://host:port"; Kafka: "host:port,host:port"
  std::string stream;   // or topic
  std::string user;
  std::string password_env;  // the environment variable that holds the password; empty: none
  bool tls = false;
};

/// Keys of a broker are refused where none keeps the log.
samples_spec read_samples(config_reader& config);

}  // namespace headrace::cli
