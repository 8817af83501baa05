#include "schemas/field_reader.hpp"

#include "base/check.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/wire.hpp"

#include <algorithm>

namespace headrace::schemas {

namespace {

bool is_printable(char c) { return c >= ' ' && c <= '~'; }

bool is_name_byte(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

}  // namespace

bool is_source_name(std::string_view name) {
  return !name.empty() && name.size() <= source_name_bytes_max &&
         std::all_of(name.begin(), name.end(), is_name_byte);
}

std::string_view cut(std::string_view text, std::size_t bytes_max) {
  return text.substr(0, bytes_max);
}

std::size_t source_words(const source_id& source) {
  return struct_words<wire::Source>() + text_words(source.name);
}

void write_source(wire::Source::Builder into, const source_id& source) {
  CHECK(is_source_name(source.name));
  into.setGeneration(source.generation);
  write_text(into.initName(static_cast<unsigned>(source.name.size())), source.name);
}

void field_reader::refuse(errc code, std::string why) {
  if (failure_) return;
  failure_ = error{code, std::string(what_) + ": " + std::move(why)};
}

void field_reader::protocol(std::uint16_t spoken) {
  if (spoken >= protocol_version_min && spoken <= protocol_version) return;
  refuse(errc::bad_protocol,
         "peer speaks protocol " + std::to_string(spoken) + ", this build " +
             std::to_string(protocol_version_min) + " to " + std::to_string(protocol_version) +
             "; upgrade the older of the two");
}

errc field_reader::status(std::uint16_t number) {
  const auto code = static_cast<errc>(number);
  if (name(code) != "unknown") return code;
  refuse(errc::malformed, "status " + std::to_string(number) + " is not known");
  return errc::ok;
}

schemas::lane field_reader::lane(std::uint16_t number) {
  switch (number) {
    case 0:
      return schemas::lane::rows;
    case 1:
      return schemas::lane::dense;
    default:
      refuse(errc::malformed, "lane " + std::to_string(number) + " is not known");
  }
  return schemas::lane::rows;
}

schemas::log_mode field_reader::log_mode(std::uint16_t number) {
  switch (number) {
    case 0:
      return schemas::log_mode::none;
    case 1:
      return schemas::log_mode::os;
    case 2:
      return schemas::log_mode::fsync;
    default:
      refuse(errc::malformed, "log mode " + std::to_string(number) + " is not known");
  }
  return schemas::log_mode::none;
}

schemas::value_codec field_reader::value_codec(std::uint16_t number) {
  switch (number) {
    case 0:
      return schemas::value_codec::fp32;
    case 1:
      return schemas::value_codec::int8;
    case 2:
      return schemas::value_codec::fp16;
    case 3:
      return schemas::value_codec::bf16;
    default:
      refuse(errc::malformed, "value codec " + std::to_string(number) + " is not known");
  }
  return schemas::value_codec::fp32;
}

void field_reader::key_codec(std::uint16_t number) {
  switch (number) {
    case 0:
      return;
    case 1:
      return refuse(errc::bad_protocol, "key codec delta_packed is spoken in pushes only");
    default:
      refuse(errc::malformed, "key codec " + std::to_string(number) + " is not known");
  }
}

schemas::value_codec field_reader::push_codec(std::uint16_t number) {
  if (number == static_cast<std::uint16_t>(schemas::value_codec::topk))
    return schemas::value_codec::topk;
  if (number == static_cast<std::uint16_t>(schemas::value_codec::int4))
    return schemas::value_codec::int4;
  return value_codec(number);
}

schemas::key_codec field_reader::push_key_codec(std::uint16_t number) {
  if (number <= 1) return static_cast<schemas::key_codec>(number);
  key_codec(number);
  return schemas::key_codec::raw;
}

source_id field_reader::source(wire::Source::Reader source) {
  source_id read;
  read.generation = source.getGeneration();
  read.name = source_name(source.getName());
  return read;
}

std::string field_reader::source_name(capnp::Text::Reader from) {
  std::string read = text(from, source_name_bytes_max, "source name");
  if (ok() && !is_source_name(read)) {
    refuse(errc::malformed, "a source name is 1 to 64 bytes of [A-Za-z0-9_.-]");
  }
  if (!ok()) read.clear();
  return read;
}

std::string field_reader::detail(capnp::Text::Reader from) {
  std::string read = text(from, detail_bytes_max, "detail");
  std::replace_if(
      read.begin(), read.end(), [](char c) { return c >= 0 && !is_printable(c); }, '?');
  return read;
}

std::string field_reader::sender(capnp::Text::Reader from) {
  std::string read = text(from, sender_bytes_max, "sender");
  std::replace_if(
      read.begin(), read.end(), [](char c) { return !is_printable(c); }, '?');
  return read;
}

std::uint32_t field_reader::rows(std::uint32_t count) {
  list(count, block_rows_max, "rows");
  return ok() ? count : 0;
}

bool field_reader::packed_rows(std::uint64_t count) {
  packed_rows_ += count;
  list(packed_rows_, packed_rows_max, "rows with packed keys");
  return ok();
}

void field_reader::chosen(std::uint64_t count, std::uint64_t cells) {
  if (count <= cells && cells <= UINT32_MAX) return;
  refuse(errc::malformed,
         "topk chooses " + std::to_string(count) + " of " + std::to_string(cells) + " values");
}

void field_reader::list(std::size_t count, std::size_t most, std::string_view name) {
  if (count <= most) return;
  refuse(errc::too_large,
         std::to_string(count) + " " + std::string(name) + "; at most " + std::to_string(most) +
             " are accepted");
}

std::vector<std::uint64_t> field_reader::numbers(capnp::List<std::uint64_t>::Reader from,
                                                 std::size_t most,
                                                 std::string_view name) {
  list(from.size(), most, name);
  if (!ok()) return {};
  std::vector<std::uint64_t> read;
  read.reserve(from.size());
  for (const std::uint64_t number : from) read.push_back(number);
  return read;
}

std::span<const std::byte> field_reader::cells(capnp::Data::Reader data,
                                               schemas::value_codec codec,
                                               std::uint64_t count) {
  if (!sized(data.size(), count, value_bytes(codec), "values")) return {};
  return std::as_bytes(std::span(data.begin(), data.size()));
}

std::span<const std::byte> field_reader::cells(std::span<const std::byte> data,
                                               schemas::value_codec codec,
                                               std::uint64_t rows,
                                               std::uint64_t dim,
                                               std::uint64_t chosen) {
  if (is_row_codec(codec))
    return sized(data.size(), rows * dim, value_bytes(codec), "values")
               ? data
               : std::span<const std::byte>();
  const std::uint64_t bytes = ok() ? value_layout_bytes(codec, rows, dim, chosen) : 0;
  if (ok() && data.size() != bytes) {
    refuse(errc::malformed,
           std::to_string(data.size()) + " bytes of values for " + std::to_string(bytes) + " of " +
               std::string(name(codec)));
  }
  return ok() ? data : std::span<const std::byte>();
}

bool field_reader::sized(std::size_t bytes,
                         std::uint64_t count,
                         std::size_t width,
                         std::string_view name) {
  if (ok() && (count > frame_bytes_max || bytes != count * width)) {
    refuse(errc::malformed,
           std::to_string(bytes) + " bytes of " + std::string(name) + " for " +
               std::to_string(count) + " of " + std::to_string(width));
  }
  return ok();
}

std::string field_reader::text(capnp::Text::Reader from, std::size_t most, std::string_view name) {
  if (from.size() > most) {
    refuse(errc::too_large,
           std::string(name) + " of " + std::to_string(from.size()) + " bytes; at most " +
               std::to_string(most) + " are accepted");
  }
  if (!ok()) return {};
  return {from.begin(), from.size()};
}

}  // namespace headrace::schemas
