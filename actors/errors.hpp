#pragma once

#include "base/result.hpp"

#include <caf/error.hpp>
#include <caf/make_message.hpp>

#include <exception>
#include <string>

namespace headrace::actors {

/// The only place where an `error` becomes a `caf::error`: code in eight bits, the detail as its
/// text.
inline caf::error to_caf(const error& failure) {
  return caf::error{static_cast<std::uint8_t>(failure.code),
                    caf::atom("headrace"),
                    caf::make_message(failure.detail)};
}

/// And back, for what an actor ended with.
inline error from_caf(const caf::error& failure) {
  error made{errc::unavailable, {}};
  if (failure.category() == caf::atom("headrace")) made.code = static_cast<errc>(failure.code());
  if (failure.context().match_elements<std::string>()) {
    made.detail = failure.context().get_as<std::string>(0);
  }
  return made;
}

/// What a library threw inside a handler, as an error of ours.
inline error from_exception(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& failure) {
    return {errc::io_error, std::string("unexpected failure: ") + failure.what()};
  } catch (...) {
    return {errc::io_error, "unexpected failure"};
  }
}

}  // namespace headrace::actors
