#pragma once

#include "cli/pages/svg_chart.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What the report and the dashboard are both made of.
namespace headrace::cli {

/// An icon: a wheel in a stream.
extern const std::string_view page_wheel;

/// "100,000 samples", "1 sample".
std::string counted(std::uint64_t count, const std::string& what);

/// A figure and its name, of a `<dl>`; `value` is HTML already, `name` is ours.
std::string term(std::string_view name, const std::string& value, std::string_view css = "");

/// A chart in each of the sizes, under its heading and legend; `heading` is HTML already.
std::string figure(const chart& what,
                   const std::string& heading,
                   const std::vector<chart_size>& sizes);

}  // namespace headrace::cli
