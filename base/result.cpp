#include "base/result.hpp"

namespace headrace {

std::string_view name(errc code) {
  switch (code) {
    case errc::ok:
      return "ok";
    case errc::gap:
      return "gap";
    case errc::overloaded:
      return "overloaded";
    case errc::stale_epoch:
      return "stale_epoch";
    case errc::stale_schema:
      return "stale_schema";
    case errc::stale_gradient:
      return "stale_gradient";
    case errc::timeout:
      return "timeout";
    case errc::unavailable:
      return "unavailable";
    case errc::quarantined:
      return "quarantined";
    case errc::norm_exceeded:
      return "norm_exceeded";
    case errc::not_finite:
      return "not_finite";
    case errc::bad_dims:
      return "bad_dims";
    case errc::unknown_table:
      return "unknown_table";
    case errc::bad_keys:
      return "bad_keys";
    case errc::malformed:
      return "malformed";
    case errc::too_large:
      return "too_large";
    case errc::bad_protocol:
      return "bad_protocol";
    case errc::unknown_source:
      return "unknown_source";
    case errc::not_found:
      return "not_found";
    case errc::unauthorized:
      return "unauthorized";
    case errc::io_error:
      return "io_error";
    case errc::disk_full:
      return "disk_full";
    case errc::corrupt:
      return "corrupt";
    case errc::in_use:
      return "in_use";
    case errc::bad_config:
      return "bad_config";
    case errc::bad_input:
      return "bad_input";
    case errc::wrong_job:
      return "wrong_job";
    case errc::cancelled:
      return "cancelled";
  }
  return "unknown";
}

std::string describe(const error& failure) {
  std::string text{name(failure.code)};
  if (!failure.detail.empty()) {
    text += ": ";
    text += failure.detail;
  }
  return text;
}

}  // namespace headrace
