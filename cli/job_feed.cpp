#include "cli/job_feed.hpp"

#include <cstdlib>

namespace headrace::cli {
namespace {

worker::feed_spec::kind broker_of(worker::arrival way) {
  using kind = worker::feed_spec::kind;
  if (way == worker::arrival::jetstream) return kind::jetstream;
  return way == worker::arrival::redis ? kind::redis : kind::kafka;
}

}  // namespace

result<worker::feed_spec> feed_of(const job& job) {
  const worker::live_spec& live = job.source.live;
  worker::feed_spec made;
  made.broker = broker_of(job.source.arrives);
  made.endpoints = live.brokers;
  made.topics = live.topics;
  made.subject = live.subject;
  made.group = live.group;
  made.client_id = "headrace-" + job.name;
  made.dead_letter = live.dead_letter;
  made.user = live.user;
  made.tls = live.tls;
  if (live.password_env.empty()) return made;
  const char* password = std::getenv(live.password_env.c_str());
  if (password == nullptr) {
    return error{errc::bad_config,
                 "source.password_env: there is no environment variable " + live.password_env};
  }
  made.password = password;
  return made;
}

}  // namespace headrace::cli
