#include "cli/pages/page_parts.hpp"

#include "cli/pages/html_text.hpp"

namespace headrace::cli {

const std::string_view page_wheel =
    "<svg viewBox=\"0 0 32 32\" aria-hidden=\"true\"><circle cx=\"16\" cy=\"13\" "
    "r=\"9.5\"/><circle cx=\"16\" cy=\"13\" "
    "r=\"2\"/><path d=\"M16 11V3.5M16 15v7.500M18 13h7.500M6.500 13H14M17.500 "
    "11.500l5.200-5.200M9.300 19.700l5.200-5.200"
    "M17.500 14.500l5.200 5.200M9.300 6.300l5.200 5.200M2 28c3-2.600 5.600-2.600 8.600 0s5.600 "
    "2.600 8.600 0 5.600-2.600 10.800 0\"/>"
    "</svg>";

std::string counted(std::uint64_t count, const std::string& what) {
  return with_commas(count) + " " + what + (count == 1 ? "" : "s");
}

std::string term(std::string_view name, const std::string& value, std::string_view css) {
  std::string out = css.empty() ? "<div>" : "<div class=\"" + std::string(css) + "\">";
  return out.append("<dt>").append(name).append("</dt><dd>").append(value).append("</dd></div>");
}

std::string figure(const chart& what,
                   const std::string& heading,
                   const std::vector<chart_size>& sizes) {
  std::string out = "<figure>\n<figcaption>" + heading +
                    (has_values(what) ? chart_legend(what) : "") + "</figcaption>\n";
  for (const auto& size : sizes) {
    out += svg_chart(what, size) + "\n";
    if (!has_values(what)) break;
  }
  return out + "</figure>\n";
}

}  // namespace headrace::cli
