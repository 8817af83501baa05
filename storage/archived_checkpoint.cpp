#include "storage/archived_checkpoint.hpp"

#include "base/parse_number.hpp"
#include "storage/manifest_text.hpp"
#include "storage/object_store.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

namespace headrace::storage {
namespace {

constexpr std::string_view title =
    "# Headrace checkpoint in an archive: the cut and its files. Written once; do not edit.\n";
constexpr std::string_view advice = "restore another checkpoint, and remove this one by hand";
constexpr std::string_view time_pattern = "ddddddddTdddddd.dddZ-";  // d: a digit

bool is_sha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

archived_checkpoint::shard read_shard(manifest_reader& read) {
  archived_checkpoint::shard shard;
  shard.id = shard_id{read.number<std::uint32_t>("id")};
  shard.cut = lsn{read.number<std::uint64_t>("cut")};
  shard.flushed = lsn{read.number<std::uint64_t>("flushed")};
  shard.stamp_ms = read.number<std::uint64_t>("stamp_ms");
  shard.version = read.number<std::uint64_t>("version");
  shard.rows = read.number<std::uint64_t>("rows");
  return shard;
}

archived_checkpoint::watermark read_watermark(manifest_reader& read) {
  archived_checkpoint::watermark mark;
  mark.source = read.string("source");
  mark.lane = read.string("lane");
  mark.batch_min = batch_number{read.number<std::uint64_t>("batch_min")};
  mark.batch_max = batch_number{read.number<std::uint64_t>("batch_max")};
  return mark;
}

archived_checkpoint::file read_file(manifest_reader& read) {
  archived_checkpoint::file file;
  file.path = read.string("path");
  if (!is_path_inside(file.path)) read.fail("path inside the checkpoint's folder");
  file.bytes = read.number<std::uint64_t>("bytes");
  file.sha256 = read.string("sha256");
  if (!is_sha256(file.sha256)) read.fail("sha256");
  return file;
}

}  // namespace

std::uint64_t archived_checkpoint::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& one : files) sum += one.bytes;
  return sum;
}

std::string checkpoint_id(std::uint64_t written_ms, std::string_view job) {
  const auto seconds = static_cast<std::time_t>(written_ms / 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  std::string id(text.data(), std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%S.", &utc));
  id += std::to_string(1000 + written_ms % 1000).substr(1) + "Z-";
  for (const char c : job) {
    const bool plain = check_object_name(std::string_view(&c, 1)).ok() || c == '.';
    id +=
        plain && c != '%' ? std::string(1, c) : "%" + hex_number(static_cast<unsigned char>(c), 2);
  }
  return id;
}

std::optional<std::uint64_t> checkpoint_time_ms(std::string_view id) {
  if (id.size() <= time_pattern.size()) return std::nullopt;
  for (std::size_t i = 0; i < time_pattern.size(); ++i) {
    const bool digit = id[i] >= '0' && id[i] <= '9';
    if (time_pattern[i] == 'd' ? !digit : id[i] != time_pattern[i]) return std::nullopt;
  }
  const auto part = [id](std::size_t at, std::size_t digits) {
    return parse_number<int>(id.substr(at, digits)).value_or(0);
  };
  const auto day = std::chrono::year{part(0, 4)} / part(4, 2) / part(6, 2);
  if (!day.ok()) return std::nullopt;
  const auto time = std::chrono::sys_days(day) + std::chrono::hours(part(9, 2)) +
                    std::chrono::minutes(part(11, 2)) + std::chrono::seconds(part(13, 2)) +
                    std::chrono::milliseconds(part(16, 3));
  const auto ms = time.time_since_epoch().count();
  if (ms < 0) return std::nullopt;
  return static_cast<std::uint64_t>(ms);
}

bool is_path_inside(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) return false;
  for (;;) {
    const auto end = path.find('/');
    const auto part = path.substr(0, end);
    if (part.empty() || part == "." || part == "..") return false;
    if (end == std::string_view::npos) return true;
    path.remove_prefix(end + 1);
  }
}

std::string format_archived(const archived_checkpoint& checkpoint) {
  manifest_writer text(title);
  text.line("format", archive_format_version);
  text.line("id", checkpoint.id);
  text.line("job", checkpoint.job);
  text.line("fingerprint", hex_number(checkpoint.fingerprint, 16));
  text.line("written_ms", checkpoint.written_ms);
  text.line("digest", checkpoint.digest);
  for (const auto& shard : checkpoint.shards) {
    text.section("shard");
    text.line("id", shard.id.value);
    text.line("cut", shard.cut.value);
    text.line("flushed", shard.flushed.value);
    text.line("stamp_ms", shard.stamp_ms);
    text.line("version", shard.version);
    text.line("rows", shard.rows);
  }
  for (const auto& mark : checkpoint.watermarks) {
    text.section("watermark");
    text.line("source", mark.source);
    text.line("lane", mark.lane);
    text.line("batch_min", mark.batch_min.value);
    text.line("batch_max", mark.batch_max.value);
  }
  for (const auto& file : checkpoint.files) {
    text.section("file");
    text.line("path", file.path);
    text.line("bytes", file.bytes);
    text.line("sha256", file.sha256);
  }
  return text.finish();
}

result<archived_checkpoint> parse_archived(std::string_view text, const std::string& origin) {
  const auto body = checked_body(text, origin, advice);
  if (!body) return body.error();
  manifest_reader read(*body, origin, advice);
  archived_checkpoint checkpoint;
  read.skip(title);
  const auto format = read.number<std::uint32_t>("format");
  if (!read.failure() && format != archive_format_version) {
    return error{errc::bad_protocol,
                 "'" + origin + "' has format " + std::to_string(format) +
                     ", this headrace reads " + std::to_string(archive_format_version) +
                     ": use the headrace that wrote it"};
  }
  checkpoint.id = read.string("id");
  checkpoint.job = read.string("job");
  checkpoint.fingerprint = read.hex_number("fingerprint");
  checkpoint.written_ms = read.number<std::uint64_t>("written_ms");
  checkpoint.digest = read.string("digest");
  while (read.section("shard")) checkpoint.shards.push_back(read_shard(read));
  while (read.section("watermark")) checkpoint.watermarks.push_back(read_watermark(read));
  while (read.section("file")) checkpoint.files.push_back(read_file(read));
  read.end();
  if (read.failure()) return *read.failure();
  return checkpoint;
}

}  // namespace headrace::storage
