#pragma once

#include "base/result.hpp"

#include <chrono>
#include <hiredis/hiredis.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

struct free_redis_reply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
/// Null: the connection is gone. May be an error reply.
using redis_answer = std::unique_ptr<redisReply, free_redis_reply>;

/// The text of a string or status reply, else nothing.
std::string_view text_of(const redisReply* reply);
/// The value behind `name` in a flat list of names and values, or null.
const redisReply* member_of(const redisReply* list, std::string_view name);

/// One blocking connection to Redis, over TCP or a Unix socket. One thread.
class redis_link {
 public:
  /// `endpoint`: "host:port" or "unix:/path". Fails: unavailable (nobody there), io_error (it does
  /// not let us in; in its words), bad_config.
  result<void> connect(const std::string& endpoint,
                       const std::string& user,
                       const std::string& password);
  void close() { context_.reset(); }
  bool is_open() const { return context_ != nullptr; }
  /// What went wrong when an answer was null.
  const std::string& why() const { return why_; }

  /// Sends one command and waits for its answer, up to `patience` and two seconds more.
  redis_answer ask(const std::vector<std::string_view>& words,
                   std::chrono::milliseconds patience = std::chrono::milliseconds(0));

 private:
  struct free_context {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  std::unique_ptr<redisContext, free_context> context_;
  std::string why_;
};

}  // namespace headrace::worker
