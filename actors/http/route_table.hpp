#pragma once

#include "actors/http/http_server.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace headrace::actors {

/// Routes by method and path: a whole path goes before one with '*', and the longest '*' before the
/// others. GET takes HEAD where no route does. Immutable; a route lives as long as the table.
class route_table {
 public:
  explicit route_table(std::vector<http_route> routes);

  struct match {
    const http_route* route = nullptr;
    std::string allow;  // without a route: the methods its path has, as a 405 lists them
  };
  match find(std::string_view method, std::string_view path) const;
  /// Whether it is one of HTTP's common ones or any route takes it; else it is answered 501.
  bool knows_method(std::string_view method) const;

 private:
  std::vector<http_route> routes_;  // whole paths, then the longest
};

}  // namespace headrace::actors
