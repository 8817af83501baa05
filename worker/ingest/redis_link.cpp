#include "worker/ingest/redis_link.hpp"

#include "base/parse_number.hpp"

#include <csignal>
#include <ctime>
#include <pthread.h>
#include <sys/time.h>

namespace headrace::worker {
namespace {

constexpr std::chrono::milliseconds answer_patience{2'000};

timeval as_timeval(std::chrono::milliseconds time) {
  return {static_cast<time_t>(time.count() / 1000),
          static_cast<suseconds_t>(time.count() % 1000 * 1000)};
}

/// Keeps SIGPIPE from this thread while it lives: hiredis writes to sockets that may be closed.
class quiet_pipe {
 public:
  quiet_pipe() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~quiet_pipe() {
    const timespec now{};
    if (::sigismember(&before_, SIGPIPE) == 0) {
      while (::sigtimedwait(&pipe_, nullptr, &now) > 0) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  quiet_pipe(const quiet_pipe&) = delete;
  quiet_pipe& operator=(const quiet_pipe&) = delete;

 private:
  sigset_t pipe_{};
  sigset_t before_{};
};

result<redisContext*> open(const std::string& endpoint) {
  constexpr std::string_view socket = "unix:";
  if (endpoint.starts_with(socket)) {
    return redisConnectUnixWithTimeout(endpoint.c_str() + socket.size(),
                                       as_timeval(answer_patience));
  }
  const auto colon = endpoint.rfind(':');
  const auto port = colon == std::string::npos
                        ? std::nullopt
                        : parse_number<std::uint16_t>(std::string_view(endpoint).substr(colon + 1));
  if (!port) return error{errc::bad_config, "redis: '" + endpoint + "' is no host:port"};
  return redisConnectWithTimeout(
      endpoint.substr(0, colon).c_str(), *port, as_timeval(answer_patience));
}

}  // namespace

std::string_view text_of(const redisReply* reply) {
  if (reply == nullptr || reply->str == nullptr) return {};
  return {reply->str, reply->len};
}

const redisReply* member_of(const redisReply* list, std::string_view name) {
  if (list == nullptr || list->type != REDIS_REPLY_ARRAY) return nullptr;
  for (std::size_t i = 0; i + 1 < list->elements; i += 2) {
    if (text_of(list->element[i]) == name) return list->element[i + 1];
  }
  return nullptr;
}

result<void> redis_link::connect(const std::string& endpoint,
                                 const std::string& user,
                                 const std::string& password) {
  auto opened = open(endpoint);
  if (!opened) return opened.error();
  context_.reset(*opened);
  if (context_ == nullptr || context_->err != 0) {
    const std::string words = context_ == nullptr ? "out of memory" : context_->errstr;
    close();
    return error{errc::unavailable, "redis: " + words};
  }
  if (password.empty()) return {};
  std::vector<std::string_view> words{"AUTH"};
  if (!user.empty()) words.emplace_back(user);
  words.emplace_back(password);
  const auto answer = ask(words);
  if (answer == nullptr) return error{errc::unavailable, "redis: " + why_};
  if (answer->type != REDIS_REPLY_ERROR) return {};
  const std::string refusal(text_of(answer.get()));
  close();
  return error{errc::io_error, "redis: " + refusal};
}

redis_answer redis_link::ask(const std::vector<std::string_view>& words,
                             std::chrono::milliseconds patience) {
  if (context_ == nullptr) return nullptr;
  const quiet_pipe quiet;
  redisSetTimeout(context_.get(), as_timeval(answer_patience + patience));
  std::vector<const char*> texts;
  std::vector<std::size_t> sizes;
  for (const auto word : words) {
    texts.push_back(word.data() == nullptr ? "" : word.data());
    sizes.push_back(word.size());
  }
  redis_answer answer(static_cast<redisReply*>(redisCommandArgv(
      context_.get(), static_cast<int>(words.size()), texts.data(), sizes.data())));
  if (answer == nullptr) {
    why_ = context_->errstr;
    close();
  }
  return answer;
}

}  // namespace headrace::worker
