#include "actors/http/route_table.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace headrace::actors {
namespace {

bool is_open(const http_route& route) { return route.path.ends_with('*'); }

bool fits(const http_route& route, std::string_view path) {
  const std::string_view own = route.path;
  return is_open(route) ? path.starts_with(own.substr(0, own.size() - 1)) : path == own;
}

}  // namespace

route_table::route_table(std::vector<http_route> routes) : routes_(std::move(routes)) {
  std::stable_sort(routes_.begin(), routes_.end(), [](const auto& a, const auto& b) {
    if (is_open(a) != is_open(b)) return is_open(b);
    return a.path.size() > b.path.size();
  });
}

route_table::match route_table::find(std::string_view method, std::string_view path) const {
  const http_route* get = nullptr;
  for (const auto& route : routes_) {
    if (!fits(route, path)) continue;
    if (route.method == method) return {&route, {}};
    if (get == nullptr && method == "HEAD" && route.method == "GET") get = &route;
  }
  if (get != nullptr) return {get, {}};
  std::set<std::string> methods;
  for (const auto& route : routes_) {
    if (!fits(route, path)) continue;
    methods.insert(route.method);
    if (route.method == "GET") methods.insert("HEAD");
  }
  match none;
  for (const auto& each : methods) none.allow += (none.allow.empty() ? "" : ", ") + each;
  return none;
}

bool route_table::knows_method(std::string_view method) const {
  constexpr std::array<std::string_view, 7> standard{
      "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  return std::find(standard.begin(), standard.end(), method) != standard.end() ||
         std::any_of(routes_.begin(), routes_.end(), [method](const auto& route) {
           return route.method == method;
         });
}

}  // namespace headrace::actors
