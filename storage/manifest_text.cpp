#include "storage/manifest_text.hpp"

#include "storage/crc32c.hpp"

#include <span>

namespace headrace::storage {
namespace {

constexpr std::string_view checksum_word = "# crc32c ";

std::string checksum_of(std::string_view text) {
  return hex_number(crc32c(std::as_bytes(std::span(text))), 8);
}

// A TOML basic string.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (code < 0x20 || code == 0x7F) {
      out += "\\u" + hex_number(code, 4);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::optional<std::string> unquoted(std::string_view text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\';
    if (escaped && ++i == text.size()) return std::nullopt;
    if (!escaped || text[i] != 'u') {
      out += text[i];
    } else {
      const auto code =
          i + 5 <= text.size() ? parse_hex<unsigned>(text.substr(i + 1, 4)) : std::nullopt;
      if (!code || *code > 0xFF) return std::nullopt;
      out += static_cast<char>(*code);
      i += 4;
    }
  }
  return out;
}

}  // namespace

std::string hex_number(std::uint64_t number, std::size_t digits) {
  std::string text(digits, '0');
  for (std::size_t i = 0; i < digits; ++i)
    text[i] = "0123456789abcdef"[(number >> (4 * (digits - 1 - i))) & 15];
  return text;
}

void manifest_writer::line(std::string_view key, std::uint64_t value) {
  text_ += std::string(key) + " = " + std::to_string(value) + "\n";
}

void manifest_writer::line(std::string_view key, std::string_view value) {
  text_ += std::string(key) + " = " + quoted(value) + "\n";
}

void manifest_writer::section(std::string_view name) {
  text_ += "\n[[" + std::string(name) + "]]\n";
}

std::string manifest_writer::finish() {
  text_ += "\n";
  return text_ + std::string(checksum_word) + checksum_of(text_) + "\n";
}

result<std::string_view> checked_body(std::string_view text,
                                      const std::string& origin,
                                      std::string_view advice) {
  const auto begin = text.rfind(checksum_word);
  if (begin != std::string_view::npos) {
    const std::string_view body = text.substr(0, begin);
    if (text.substr(begin) == std::string(checksum_word) + checksum_of(body) + "\n") return body;
  }
  return error{errc::corrupt,
               "'" + origin + "' is damaged: its last line's checksum does not match; " +
                   std::string(advice)};
}

void manifest_reader::skip(std::string_view whole_line) {
  if (!failed_ && text_.starts_with(whole_line)) return advance(whole_line.size());
  fail(whole_line.substr(0, whole_line.find('\n')));
}

std::uint64_t manifest_reader::hex_number(std::string_view key) {
  const auto value = parse_hex<std::uint64_t>(string(key));
  if (!value) fail(key);
  return value.value_or(0);
}

std::string manifest_reader::string(std::string_view key) {
  const auto value = unquoted(raw(key));
  if (!value) fail(key);
  return value.value_or(std::string());
}

bool manifest_reader::section(std::string_view name) {
  const std::string begin = "\n[[" + std::string(name) + "]]\n";
  if (failed_ || !text_.starts_with(begin)) return false;
  advance(begin.size());
  return true;
}

void manifest_reader::end() {
  skip("\n");
  if (!text_.empty()) fail("end of the file");
}

void manifest_reader::fail(std::string_view expected) {
  if (failed_) return;
  failed_ = error{errc::corrupt,
                  "'" + origin_ + "', line " + std::to_string(line_) + ": expected '" +
                      std::string(expected) + "'; " + std::string(advice_)};
}

std::string_view manifest_reader::raw(std::string_view key) {
  const auto end = text_.find('\n');
  const std::string_view whole = text_.substr(0, end);
  const std::string begin = std::string(key) + " = ";
  if (failed_ || end == std::string_view::npos || !whole.starts_with(begin)) {
    fail(key);
    return {};
  }
  advance(end + 1);
  return whole.substr(begin.size());
}

void manifest_reader::advance(std::size_t bytes) {
  for (const char c : text_.substr(0, bytes)) line_ += c == '\n' ? 1 : 0;
  text_.remove_prefix(bytes);
}

}  // namespace headrace::storage
