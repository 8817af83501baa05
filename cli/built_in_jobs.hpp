#pragma once

#include <string_view>

namespace headrace::cli {

/// The job files of deploy/config that `headrace demo` carries inside, so that the binary needs no
/// other file.
extern const std::string_view movielens_job;
extern const std::string_view planted_job;

}  // namespace headrace::cli
