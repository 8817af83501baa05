#include "actors/http/http_text.hpp"

#include "base/json_line.hpp"

#include <array>
#include <cctype>
#include <ctime>

namespace headrace::actors {
namespace {

int hex_digit(char of) {
  if (of >= '0' && of <= '9') return of - '0';
  if (of >= 'a' && of <= 'f') return of - 'a' + 10;
  if (of >= 'A' && of <= 'F') return of - 'A' + 10;
  return -1;
}

char lower(char of) { return of >= 'A' && of <= 'Z' ? static_cast<char>(of - 'A' + 'a') : of; }

bool starts_with_word(std::string_view text, std::string_view lower_word) {
  if (text.size() < lower_word.size()) return false;
  for (std::size_t i = 0; i < lower_word.size(); ++i) {
    if (lower(text[i]) != lower_word[i]) return false;
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char of) { return of == ' ' || of == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::optional<http_target> split_target(std::string_view target) {
  if (starts_with_word(target, "http://")) {
    target.remove_prefix(7);
    const auto end = target.find_first_of("/?");
    target = end == std::string_view::npos ? std::string_view("/") : target.substr(end);
    if (target.front() == '?') return std::nullopt;
  }
  if (target.empty() || target.front() != '/' || target.find('#') != std::string_view::npos) {
    return std::nullopt;
  }
  const auto mark = target.find('?');
  auto path = percent_decode(target.substr(0, mark));
  if (!path) return std::nullopt;
  return http_target{
      std::move(*path),
      std::string(mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1))};
}

std::string bearer_token(std::string_view authorization) {
  if (!starts_with_word(authorization, "bearer ")) return {};
  return std::string(trimmed(authorization.substr(7)));
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& each : out) each = lower(each);
  return out;
}

std::string media_type(std::string_view value) {
  return lower_case(trimmed(value.substr(0, value.find(';'))));
}

std::string_view reason_phrase(unsigned status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Answer";
  }
}

http_answer refusal_answer(unsigned status, std::string_view why, std::uint32_t retry_after_s) {
  http_answer answer;
  answer.status = status;
  answer.body = json_line().add("error", why).text() + '\n';
  answer.retry_after_s = retry_after_s;
  return answer;
}

void append_answer(std::string& out, const http_answer& answer, const answer_framing& how) {
  out += "HTTP/1.1 ";
  out += std::to_string(answer.status);
  out += ' ';
  out += reason_phrase(answer.status);
  if (!how.date.empty()) {
    out += "\r\nDate: ";
    out += how.date;
  }
  if (answer.feed) {
    out += "\r\nContent-Type: text/event-stream\r\nCache-Control: no-store";
  } else if (!answer.body.empty()) {
    out += "\r\nContent-Type: ";
    out += answer.content_type;
  }
  if (answer.status != 204 && !answer.feed) {
    out += "\r\nContent-Length: ";
    out += std::to_string(answer.body.size());
  }
  if (!how.allow.empty()) {
    out += "\r\nAllow: ";
    out += how.allow;
  }
  if (answer.status == 401) out += "\r\nWWW-Authenticate: Bearer";
  if (answer.retry_after_s != 0) {
    out += "\r\nRetry-After: ";
    out += std::to_string(answer.retry_after_s);
  }
  if (how.close) {
    out += "\r\nConnection: close";
  } else if (how.version_1_0) {
    out += "\r\nConnection: keep-alive";
  }
  out += "\r\n\r\n";
  if (!how.head_only && answer.status != 204) out += answer.body;
}

std::string http_date(std::int64_t seconds) {
  static constexpr std::array<const char*, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> months{
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t at = seconds;
  std::tm parts{};
  ::gmtime_r(&at, &parts);
  const auto two = [](int value) { return (value < 10 ? "0" : "") + std::to_string(value); };
  return std::string(days[static_cast<std::size_t>(parts.tm_wday)]) + ", " + two(parts.tm_mday) +
         ' ' + months[static_cast<std::size_t>(parts.tm_mon)] + ' ' +
         std::to_string(parts.tm_year + 1900) + ' ' + two(parts.tm_hour) + ':' + two(parts.tm_min) +
         ':' + two(parts.tm_sec) + " GMT";
}

}  // namespace headrace::actors
