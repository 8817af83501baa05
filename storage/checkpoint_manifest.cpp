#include "storage/checkpoint_manifest.hpp"

#include "base/parse_number.hpp"
#include "storage/crc32c.hpp"
#include "storage/file_io.hpp"

#include <optional>
#include <string_view>
#include <utility>

namespace headrace::storage {
namespace {

constexpr std::string_view title =
    "# Headrace checkpoint: what the rows of this folder hold. Written at each flush.\n";
constexpr std::string_view checksum_word = "# crc32c ";

std::string hex(std::uint64_t number, std::size_t digits) {
  std::string text(digits, '0');
  for (std::size_t i = 0; i < digits; ++i)
    text[i] = "0123456789abcdef"[(number >> (4 * (digits - 1 - i))) & 15];
  return text;
}

std::string checksum_of(std::string_view text) {
  return hex(crc32c(std::as_bytes(std::span(text))), 8);
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
      out += "\\u" + hex(code, 4);
    } else {
      out += c;
    }
  }
  return out + '"';
}

void line(std::string& text, std::string_view key, std::uint64_t value) {
  text += std::string(key) + " = " + std::to_string(value) + "\n";
}

void line(std::string& text, std::string_view key, std::string_view value) {
  text += std::string(key) + " = " + quoted(value) + "\n";
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

// Reads the lines in the one order that format_manifest writes them in; the first surprise is kept.
class manifest_reader {
 public:
  manifest_reader(std::string_view text, const std::string& origin)
      : text_(text), origin_(origin) {}

  bool at(std::string_view whole_line) const { return !failed_ && text_.starts_with(whole_line); }
  void skip(std::string_view whole_line) {
    if (at(whole_line)) return advance(whole_line.size());
    fail(whole_line.substr(0, whole_line.find('\n')));
  }
  template <class Number>
  Number number(std::string_view key) {
    const auto value = parse_number<Number>(raw(key));
    if (!value) fail(key);
    return value.value_or(Number{});
  }
  std::string string(std::string_view key) {
    const auto value = unquoted(raw(key));
    if (!value) fail(key);
    return value.value_or(std::string());
  }
  bool done() const { return text_.empty(); }
  void fail(std::string_view expected) {
    if (failed_) return;
    failed_ = error{errc::corrupt,
                    "'" + origin_ + "', line " + std::to_string(line_) + ": expected '" +
                        std::string(expected) + "'; the file is written anew at the next flush"};
  }
  const std::optional<error>& failure() const { return failed_; }

 private:
  std::string_view raw(std::string_view key) {
    const auto end = text_.find('\n');
    std::string_view whole = text_.substr(0, end);
    const std::string begin = std::string(key) + " = ";
    if (failed_ || end == std::string_view::npos || !whole.starts_with(begin)) {
      fail(key);
      return {};
    }
    advance(end + 1);
    return whole.substr(begin.size());
  }
  void advance(std::size_t bytes) {
    for (const char c : text_.substr(0, bytes)) line_ += c == '\n' ? 1 : 0;
    text_.remove_prefix(bytes);
  }

  std::string_view text_;
  const std::string& origin_;
  std::size_t line_ = 1;
  std::optional<error> failed_;
};

result<std::string_view> checked_body(const std::string& text, const std::string& origin) {
  const auto begin = text.rfind(checksum_word);
  if (begin != std::string::npos) {
    const std::string_view body = std::string_view(text).substr(0, begin);
    if (text.substr(begin) == std::string(checksum_word) + checksum_of(body) + "\n") return body;
  }
  return error{errc::corrupt,
               "'" + origin +
                   "' is damaged: its last line's checksum does not match; the file is written "
                   "anew at the next flush"};
}

}  // namespace

std::string format_manifest(const checkpoint_manifest& manifest) {
  std::string text(title);
  line(text, "format", checkpoint_format_version);
  line(text, "job", manifest.job);
  line(text, "fingerprint", hex(manifest.fingerprint, 16));
  line(text, "schema_version", manifest.schema_version);
  line(text, "written_ms", manifest.written_ms);
  line(text, "log_format", manifest.log_format);
  line(text, "row_format", manifest.row_format);
  for (const auto& shard : manifest.shards) {
    text += "\n[[shard]]\n";
    line(text, "id", shard.id.value);
    line(text, "flushed", shard.flushed.value);
    line(text, "epoch", shard.epoch.value);
    line(text, "version", shard.version);
    line(text, "rows", shard.rows);
  }
  for (const auto& mark : manifest.watermarks) {
    text += "\n[[watermark]]\n";
    line(text, "source", mark.source);
    line(text, "lane", mark.lane);
    line(text, "batch_min", mark.batch_min.value);
    line(text, "batch_max", mark.batch_max.value);
  }
  text += "\n";
  return text + std::string(checksum_word) + checksum_of(text) + "\n";
}

result<checkpoint_manifest> parse_manifest(const std::string& text, const std::string& origin) {
  const auto body = checked_body(text, origin);
  if (!body) return body.error();
  manifest_reader read(*body, origin);
  checkpoint_manifest manifest;
  read.skip(title);
  const auto format = read.number<std::uint32_t>("format");
  if (!read.failure() && format != checkpoint_format_version) {
    return error{errc::bad_protocol,
                 "'" + origin + "' has format " + std::to_string(format) +
                     ", this headrace reads " + std::to_string(checkpoint_format_version) +
                     ": use the headrace that wrote it"};
  }
  manifest.job = read.string("job");
  const auto print = parse_hex<std::uint64_t>(read.string("fingerprint"));
  if (!print) read.fail("fingerprint");
  manifest.fingerprint = print.value_or(0);
  manifest.schema_version = read.number<std::uint32_t>("schema_version");
  manifest.written_ms = read.number<std::uint64_t>("written_ms");
  manifest.log_format = read.number<std::uint32_t>("log_format");
  manifest.row_format = read.number<std::uint32_t>("row_format");
  while (read.at("\n[[shard]]\n")) {
    read.skip("\n[[shard]]\n");
    auto& shard = manifest.shards.emplace_back();
    shard.id = shard_id{read.number<std::uint32_t>("id")};
    shard.flushed = lsn{read.number<std::uint64_t>("flushed")};
    shard.epoch = epoch{read.number<std::uint64_t>("epoch")};
    shard.version = read.number<std::uint64_t>("version");
    shard.rows = read.number<std::uint64_t>("rows");
  }
  while (read.at("\n[[watermark]]\n")) {
    read.skip("\n[[watermark]]\n");
    auto& mark = manifest.watermarks.emplace_back();
    mark.source = read.string("source");
    mark.lane = read.string("lane");
    mark.batch_min = batch_number{read.number<std::uint64_t>("batch_min")};
    mark.batch_max = batch_number{read.number<std::uint64_t>("batch_max")};
  }
  read.skip("\n");
  if (!read.done()) read.fail("end of the file");
  if (read.failure()) return *read.failure();
  return manifest;
}

result<void> write_manifest(const std::filesystem::path& path,
                            const checkpoint_manifest& manifest) {
  return replace_file(path, format_manifest(manifest));
}

result<checkpoint_manifest> read_manifest(const std::filesystem::path& path) {
  const auto text = read_text(path);
  if (!text) return text.error();
  return parse_manifest(*text, path.string());
}

}  // namespace headrace::storage
