#include "actors/http/plain_routes.hpp"

#include "base/json_line.hpp"

#include <utility>

namespace headrace::actors {
namespace {

constexpr std::size_t no_body = 0;
constexpr std::size_t metrics_bytes_max = std::size_t{128} << 10;  // about

http_answer status_answer(unsigned status, const char* key, const std::string& text) {
  http_answer answer;
  answer.status = status;
  answer.body = json_line().add(key, text).text() + '\n';
  return answer;
}

}  // namespace

std::vector<http_route> plain_routes(plain_answers answers) {
  auto health = [](const http_request&, const http_reply& reply) {
    reply(status_answer(200, "status", "ok"));
  };
  auto ready = [not_ready = std::move(answers.not_ready)](const http_request&,
                                                          const http_reply& reply) {
    const std::string why = not_ready();
    if (why.empty()) return reply(status_answer(200, "status", "ready"));
    auto answer = status_answer(503, "error", why);
    answer.retry_after_s = 1;
    reply(std::move(answer));
  };
  auto metrics = [text = std::move(answers.metrics)](const http_request&, const http_reply& reply) {
    http_answer answer;
    answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
    answer.body = text();
    reply(std::move(answer));
  };
  return {{"GET", "/healthz", std::move(health), no_body},
          {"GET", "/readyz", std::move(ready), no_body},
          {"GET", "/metrics", std::move(metrics), no_body, nullptr, metrics_bytes_max}};
}

}  // namespace headrace::actors
