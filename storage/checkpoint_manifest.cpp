#include "storage/checkpoint_manifest.hpp"

#include "storage/file_io.hpp"
#include "storage/manifest_text.hpp"

#include <string_view>

namespace headrace::storage {
namespace {

constexpr std::string_view title =
    "# Headrace checkpoint: what the rows of this folder hold. Written at each flush.\n";
constexpr std::string_view advice = "the file is written anew at the next flush";

}  // namespace

std::string format_manifest(const checkpoint_manifest& manifest) {
  manifest_writer text(title);
  text.line("format", checkpoint_format_version);
  text.line("job", manifest.job);
  text.line("fingerprint", hex_number(manifest.fingerprint, 16));
  text.line("schema_version", manifest.schema_version);
  text.line("written_ms", manifest.written_ms);
  text.line("log_format", manifest.log_format);
  text.line("row_format", manifest.row_format);
  for (const auto& shard : manifest.shards) {
    text.section("shard");
    text.line("id", shard.id.value);
    text.line("flushed", shard.flushed.value);
    text.line("epoch", shard.epoch.value);
    text.line("version", shard.version);
    text.line("rows", shard.rows);
  }
  for (const auto& mark : manifest.watermarks) {
    text.section("watermark");
    text.line("source", mark.source);
    text.line("lane", mark.lane);
    text.line("batch_min", mark.batch_min.value);
    text.line("batch_max", mark.batch_max.value);
  }
  return text.finish();
}

result<checkpoint_manifest> parse_manifest(const std::string& text, const std::string& origin) {
  const auto body = checked_body(text, origin, advice);
  if (!body) return body.error();
  manifest_reader read(*body, origin, advice);
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
  manifest.fingerprint = read.hex_number("fingerprint");
  manifest.schema_version = read.number<std::uint32_t>("schema_version");
  manifest.written_ms = read.number<std::uint64_t>("written_ms");
  manifest.log_format = read.number<std::uint32_t>("log_format");
  manifest.row_format = read.number<std::uint32_t>("row_format");
  while (read.section("shard")) {
    auto& shard = manifest.shards.emplace_back();
    shard.id = shard_id{read.number<std::uint32_t>("id")};
    shard.flushed = lsn{read.number<std::uint64_t>("flushed")};
    shard.epoch = epoch{read.number<std::uint64_t>("epoch")};
    shard.version = read.number<std::uint64_t>("version");
    shard.rows = read.number<std::uint64_t>("rows");
  }
  while (read.section("watermark")) {
    auto& mark = manifest.watermarks.emplace_back();
    mark.source = read.string("source");
    mark.lane = read.string("lane");
    mark.batch_min = batch_number{read.number<std::uint64_t>("batch_min")};
    mark.batch_max = batch_number{read.number<std::uint64_t>("batch_max")};
  }
  read.end();
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
