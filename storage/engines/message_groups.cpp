#include "storage/engines/message_groups.hpp"

#include "base/parse_number.hpp"
#include "storage/record_codec.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace headrace::storage {
namespace {

// What stands before `mark`, taken off `rest` together with it.
std::string_view cut(std::string_view& rest, std::string_view mark) {
  const auto end = std::min(rest.find(mark), rest.size());
  const auto word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + mark.size(), rest.size()));
  return word;
}

std::string hex(std::uint64_t number) {
  std::array<char, 16> digits{};
  digits.fill('0');
  std::array<char, 16> short_form{};
  const auto end = std::to_chars(short_form.begin(), short_form.end(), number, 16).ptr;
  std::copy(short_form.begin(), end, digits.end() - (end - short_form.begin()));
  return {digits.begin(), digits.end()};
}

std::string number(lsn record) { return std::to_string(record.value); }

}  // namespace

bool operator==(const log_message& a, const log_message& b) {
  const auto same_bytes = [&] { return std::ranges::equal(a.bytes.bytes(), b.bytes.bytes()); };
  return a.first == b.first && a.last == b.last && a.part == b.part && a.parts == b.parts &&
         a.writer == b.writer && a.log == b.log && same_bytes();
}

std::string header_text(const log_message& message) {
  return number(message.first) + "-" + number(message.last) + " " + std::to_string(message.part) +
         "/" + std::to_string(message.parts) + " by " + hex(message.writer) + " of " + message.log;
}

std::optional<log_message> parse_header(std::string_view text) {
  const auto first = parse_number<std::uint64_t>(cut(text, "-"));
  const auto last = parse_number<std::uint64_t>(cut(text, " "));
  const auto part = parse_number<std::uint32_t>(cut(text, "/"));
  const auto parts = parse_number<std::uint32_t>(cut(text, " by "));
  const auto writer = cut(text, " of ");
  log_message made;
  const auto [end, failed] =
      std::from_chars(writer.data(), writer.data() + writer.size(), made.writer, 16);
  if (!first || !last || !part || !parts || failed != std::errc{} || end != writer.end() ||
      text.empty() || *first == 0 || *last < *first || *part == 0 || *part > *parts) {
    return std::nullopt;
  }
  made.first = lsn{*first};
  made.last = lsn{*last};
  made.part = *part;
  made.parts = *parts;
  made.log = text;
  return made;
}

std::vector<std::byte> encode_group(std::span<const log_record> group, std::uint64_t& chain) {
  std::vector<record_header> headers;
  std::size_t size = 0;
  for (const auto& record : group) {
    headers.push_back(describe_record(record, chain));
    chain = chain_hash(encode_header(headers.back()));
    size += headers.back().record_bytes();
  }
  std::vector<std::byte> bytes(size);
  std::size_t at = 0;
  const auto add = [&](std::span<const std::byte> some) {
    if (!some.empty()) std::memcpy(bytes.data() + at, some.data(), some.size());
    at += padded(some.size());
  };
  for (std::size_t i = 0; i < group.size(); ++i) {
    add(encode_header(headers[i]));
    add(group[i].decisions.bytes());
    add(group[i].payload.bytes());
  }
  return bytes;
}

error stream_damage(const std::string& name, std::uint64_t position, const std::string& what) {
  return {errc::corrupt,
          name + ", message " + std::to_string(position) + ": " + what +
              "; something else wrote there or took messages away. Give the job another one, and "
              "restore its state from a checkpoint"};
}

error missing_message(const std::string& name, std::uint64_t first, std::uint64_t position) {
  if (first <= position) return stream_damage(name, position, "it is missing");
  return {errc::not_found,
          name + " begins at message " + std::to_string(first) +
              " now: what came before it was removed while it was read"};
}

error message_groups::damage(std::uint64_t position, const std::string& what) const {
  return stream_damage(name_, position, what);
}

result<std::span<const log_record>> message_groups::add(const message_stream::placed& one) {
  records_.clear();
  const log_message& message = one.message;
  if (message.log != log_) {
    return error{errc::wrong_job,
                 name_ + " has the samples of '" + message.log + "', not of '" + log_ +
                     "': each job needs one of its own"};
  }
  if (message.part == 1) {
    if (auto begun = begin(one); !begun) return begun.error();
  } else if (!under_way_ || message.part != under_way_->part + 1 ||
             message.first != under_way_->first || message.last != under_way_->last ||
             message.parts != under_way_->parts || message.writer != under_way_->writer) {
    return damage(one.position,
                  "part " + std::to_string(message.part) + " of record " + number(message.first) +
                      " comes without the part before it");
  }
  const auto more = message.bytes.bytes();
  const std::size_t before = bytes_->size();
  bytes_->resize(before + more.size());
  if (!more.empty()) std::memcpy(bytes_->data() + before, more.data(), more.size());
  under_way_ = message;
  under_way_->bytes = {};
  if (message.part < message.parts) return std::span<const log_record>{};
  return decode(one);
}

result<void> message_groups::begin(const message_stream::placed& one) {
  const lsn first = one.message.first;
  const bool known = chain_.has_value();
  if (known && first.value <= last_.value)
    return damage(one.position, "record " + number(first) + " is there again");
  if ((known && first.value > last_.value + 1) || (under_way_ && under_way_->first != first)) {
    const lsn wanted = known ? lsn{last_.value + 1} : under_way_->first;
    return damage(one.position,
                  "record " + number(first) + " stands where record " + number(wanted) + " must");
  }
  bytes_ = std::make_shared<std::vector<std::byte>>();
  return {};
}

result<std::span<const log_record>> message_groups::decode(const message_stream::placed& whole) {
  const lsn last = whole.message.last;
  under_way_.reset();
  const std::span<const std::byte> all(*bytes_);
  std::size_t at = 0;
  auto chain = chain_;
  for (lsn next = whole.message.first; next <= last; next = lsn{next.value + 1}) {
    const auto bad = [&](const std::string& what) {
      return damage(whole.position, "record " + number(next) + ": " + what);
    };
    if (all.size() - at < record_header_bytes) return bad("it is cut short");
    const auto front = all.subspan(at).first<record_header_bytes>();
    const auto header = decode_header(front);
    if (!header) return bad(header.error().detail);
    if (header->lsn != next) return bad("record " + number(header->lsn) + " stands in its place");
    if (chain && header->prev_hash != *chain)
      return bad("it does not follow the record before it (prev_hash)");
    if (header->record_bytes() > all.size() - at) return bad("it is cut short");
    const auto body = all.subspan(at + record_header_bytes, header->body_bytes());
    if (!body_matches(*header, body)) return bad("the checksum of its contents does not match");
    records_.push_back(record_of(*header, body, bytes_));
    at += header->record_bytes();
    chain = chain_hash(front);
  }
  if (at != all.size()) return damage(whole.position, "it has more than its records");
  last_ = last;
  chain_ = chain;
  bytes_.reset();
  return std::span<const log_record>(records_);
}

}  // namespace headrace::storage
