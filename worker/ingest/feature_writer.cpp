#include "worker/ingest/feature_writer.hpp"

#include "schemas/hash.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace headrace::worker {
namespace {

// The bucket's number in decimal: the text of the id, the same whatever the width of an integer is.
std::string_view bucket_text(double bucket, std::array<char, 400>& buffer) {
  constexpr double exact_max = 9.0e15;
  char* const first = buffer.data();
  char* const last = first + buffer.size();
  const auto made = std::fabs(bucket) <= exact_max
                        ? std::to_chars(first, last, static_cast<std::int64_t>(bucket))
                        : std::to_chars(first, last, bucket, std::chars_format::fixed, 0);
  return {first, static_cast<std::size_t>(made.ptr - first)};
}

// Calls take(id) for each id between separators.
template <class Take>
void for_each_part(std::string_view text, std::string_view separator, const Take& take) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    if (end > at) take(text.substr(at, end - at));
    at = end + separator.size();
  }
}

}  // namespace

feature_writer::feature_writer(const feature_spec& spec) : spec_(spec) {
  if (spec_.salt.empty()) spec_.salt = spec_.name;
  missing_ = schemas::missing_key(spec_.salt).value;
  whole_ = schemas::hash_string_key(spec_.salt, "").value;
  is_bucket_ = !spec_.transforms.empty() && spec_.transforms.back() == transform::bucket;
  // log1p only makes a number smaller, and 1e30 / 1e-200 is finite.
  safe_max_ = !is_bucket_ || spec_.bucket_width >= 1e-200 ? 1e30 : 0.0;
}

std::uint64_t feature_writer::key_of(std::string_view id) const {
  return schemas::hash_string_key(spec_.salt, id).value;
}

void feature_writer::missing(event& into, bool with_values) const {
  if (spec_.kind == feature_kind::ids) {
    into.lengths.push_back(0);
    return;
  }
  into.keys.push_back(missing_);
  if (with_values) into.values.push_back(1.0F);
}

void feature_writer::id(std::string_view text, event& into, bool with_values) const {
  into.keys.push_back(text.empty() ? missing_ : key_of(text));
  if (with_values) into.values.push_back(1.0F);
}

double feature_writer::transformed(double x) const {
  for (const transform by : spec_.transforms)
    x = by == transform::log1p ? std::copysign(std::log1p(std::fabs(x)), x) : x;
  return is_bucket_ ? std::floor(x / spec_.bucket_width) : x;
}

bool feature_writer::takes(double x) const {
  if (std::fabs(x) <= safe_max_) return true;
  const double made = transformed(x);
  return is_bucket_ ? std::isfinite(made) : std::isfinite(static_cast<float>(made));
}

bool feature_writer::number(double x, event& into, bool with_values) const {
  const double made = transformed(x);
  if (is_bucket_) {
    if (!std::isfinite(made)) return false;
    std::array<char, 400> buffer;
    id(bucket_text(made, buffer), into, with_values);
    return true;
  }
  float value = static_cast<float>(made);
  if (!std::isfinite(value)) return false;
  if (value == 0.0F) value = 0.0F;  // without a sign: where 0 is an integer, it has none
  into.keys.push_back(whole_);
  if (with_values) into.values.push_back(value);
  return true;
}

// Counts first, so that what is cut off is not hashed.
template <class ForEach>
void feature_writer::write_list(const ForEach& for_each, event& into) const {
  std::size_t count = 0;
  for_each([&](std::string_view) { ++count; });
  count -= std::min<std::size_t>(count, spec_.list_held_out);
  std::size_t older = count > spec_.list_max ? count - spec_.list_max : 0;
  std::size_t taken = count - older;
  into.lengths.push_back(static_cast<std::uint16_t>(taken));
  for_each([&](std::string_view id) {
    if (older > 0) {
      --older;
    } else if (taken > 0) {
      --taken;
      into.sequence_keys.push_back(key_of(id));
    }
  });
}

void feature_writer::ids(std::string_view text, event& into) const {
  write_list([&](const auto& take) { for_each_part(text, spec_.list_separator, take); }, into);
}

void feature_writer::ids(std::span<const std::string_view> texts, event& into) const {
  write_list(
      [&](const auto& take) {
        for (const std::string_view text : texts)
          if (!text.empty()) take(text);
      },
      into);
}

}  // namespace headrace::worker
