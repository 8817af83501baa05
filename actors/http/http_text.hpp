#pragma once

#include "actors/http/http_server.hpp"

#include <optional>
#include <string>
#include <string_view>

/// The text of HTTP that needs no socket and no parser.
namespace headrace::actors {

/// Bytes of "%41%2f…"; nothing for a broken escape or a NUL.
std::optional<std::string> percent_decode(std::string_view text);

/// Path and query of a request's target, which may name scheme and host too (RFC 9112, 3.2.2).
struct http_target {
  std::string path;
  std::string query;
};
std::optional<http_target> split_target(std::string_view target);

/// What stands behind "Bearer ", or nothing.
std::string bearer_token(std::string_view authorization);
/// "Application/JSON; charset=utf-8" → "application/json".
std::string media_type(std::string_view value);
std::string lower_case(std::string_view text);

std::string_view reason_phrase(unsigned status);
/// The answer of a refusal: a line of JSON that says why.
http_answer refusal_answer(unsigned status, std::string_view why, std::uint32_t retry_after_s = 0);

/// How one answer goes out beside its own values.
struct answer_framing {
  bool head_only = false;
  bool close = false;
  bool version_1_0 = false;     // keep-alive is said, not meant by itself
  std::string_view allow = {};  // of a 405
  std::string_view date = {};
};
void append_answer(std::string& out, const http_answer& answer, const answer_framing& how);

/// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7), of seconds since 1970.
std::string http_date(std::int64_t seconds);

}  // namespace headrace::actors
