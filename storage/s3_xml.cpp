#include "storage/s3_xml.hpp"

#include "base/parse_number.hpp"

#include <array>
#include <optional>
#include <utility>

namespace headrace::storage {
namespace {

constexpr std::array<std::pair<std::string_view, char>, 5> entities{
    {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};

// The byte that `entity` ("&amp;", "&#38;", "&#x26;") stands for; ours and S3's own names are
// ASCII.
std::optional<char> byte_of(std::string_view entity) {
  for (const auto& [text, byte] : entities)
    if (entity == text) return byte;
  if (!entity.starts_with("&#") || !entity.ends_with(';')) return std::nullopt;
  const std::string_view number = entity.substr(2, entity.size() - 3);
  const auto code = number.starts_with('x') ? parse_hex<unsigned>(number.substr(1))
                                            : parse_number<unsigned>(number);
  if (!code || *code > 0x7F) return std::nullopt;
  return static_cast<char>(*code);
}

std::string decoded(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool begins = text.front() == '&';
    const std::string_view entity = text.substr(0, begins ? text.find(';') + 1 : 1);
    const auto byte = begins ? byte_of(entity) : std::nullopt;
    out += byte.value_or(text.front());
    text.remove_prefix(byte ? entity.size() : 1);
  }
  return out;
}

}  // namespace

std::vector<std::string_view> xml_elements(std::string_view xml, std::string_view name) {
  const std::string begin = "<" + std::string(name) + ">";
  const std::string end = "</" + std::string(name) + ">";
  std::vector<std::string_view> found;
  for (;;) {
    const auto from = xml.find(begin);
    if (from == std::string_view::npos) return found;
    xml.remove_prefix(from + begin.size());
    const auto to = xml.find(end);
    if (to == std::string_view::npos) return found;
    found.push_back(xml.substr(0, to));
    xml.remove_prefix(to + end.size());
  }
}

std::string xml_text(std::string_view xml, std::string_view name) {
  const auto found = xml_elements(xml, name);
  return found.empty() ? std::string() : decoded(found.front());
}

}  // namespace headrace::storage
