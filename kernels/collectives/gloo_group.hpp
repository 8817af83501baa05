#pragma once

#include "kernels/collectives/collective_group.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace headrace::kernels {

/// Where and as whom to join. All members name the same group, folder and size.
struct gloo_place {
  std::string group;             // a name that is used once: what a dead group left would be found
  std::filesystem::path folder;  // that all members see; they leave their addresses there
  std::string host = "127.0.0.1";  // this member's address, as the others reach it
  unsigned rank = 0;
  unsigned size = 1;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);  // of joining and of each call
};

/// Joins CPU members over TCP (gloo); returns when all have. The messages aren't encrypted and
/// peers not authenticated: loopback, or a network of one's own. Fails: bad_config (rank, size,
/// name, folder, host), unavailable (not all came in time; or this build has no gloo).
result<std::unique_ptr<collective_group>> join_gloo_group(const gloo_place& place);

}  // namespace headrace::kernels
