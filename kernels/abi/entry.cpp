#include "kernels/abi/entry.hpp"

#include "kernels/abi/error_text.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <limits>
#include <new>

namespace headrace::kernels::abi {
namespace {

/// struct_size and flags.
constexpr std::size_t head_bytes = 8;

}  // namespace

void refuse(headrace_status status, std::string text) { throw refusal{status, std::move(text)}; }

std::size_t product(std::uint64_t a, std::uint64_t b, const char* what) {
  // Half of the address space: differences of pointers stay representable.
  constexpr std::uint64_t most = std::numeric_limits<std::size_t>::max() / 2;
  if (a != 0 && b > most / a) refuse(HEADRACE_BAD_ARGUMENT, std::string(what) + " is too large");
  return static_cast<std::size_t>(a * b);
}

void need_bytes(const void* array, std::uint64_t count, std::size_t alignment, const char* name) {
  if (count == 0) return;
  if (array == nullptr) refuse(HEADRACE_BAD_ARGUMENT, std::string(name) + " is null");
  if (reinterpret_cast<std::uintptr_t>(array) % alignment != 0) {
    refuse(HEADRACE_BAD_ARGUMENT,
           std::string(name) + " is not aligned to " + std::to_string(alignment) + " bytes");
  }
}

void need_dtype(headrace_dtype dtype, const char* name) {
  if (dtype >= HEADRACE_F32 && dtype <= HEADRACE_BF16) return;
  refuse(HEADRACE_BAD_ARGUMENT,
         std::string(name) + " is " + std::to_string(dtype) + ", which is no headrace_dtype");
}

std::size_t dtype_bytes(headrace_dtype dtype) {
  if (dtype == HEADRACE_F32) return 4;
  return dtype == HEADRACE_I8 ? 1 : 2;
}

void need_workspace(const void* workspace, std::size_t bytes, std::size_t needed) {
  if (needed == 0) return;
  if (workspace == nullptr || bytes < needed) {
    refuse(HEADRACE_SMALL_WORKSPACE,
           "workspace has " + std::to_string(workspace == nullptr ? 0 : bytes) + " bytes, " +
               std::to_string(needed) + " are needed");
  }
  if (reinterpret_cast<std::uintptr_t>(workspace) % HEADRACE_WORKSPACE_ALIGNMENT != 0) {
    refuse(
        HEADRACE_SMALL_WORKSPACE,
        "workspace is not aligned to " + std::to_string(HEADRACE_WORKSPACE_ALIGNMENT) + " bytes");
  }
}

void copy_args(const void* given, void* whole, std::size_t known) {
  if (given == nullptr) refuse(HEADRACE_BAD_ARGUMENT, "args is null");
  std::uint32_t size = 0;
  std::memcpy(&size, given, sizeof(size));
  if (size < head_bytes) {
    refuse(HEADRACE_BAD_STRUCT,
           "struct_size is " + std::to_string(size) + "; set it to sizeof of the args struct");
  }
  const auto* bytes = static_cast<const unsigned char*>(given);
  for (std::size_t i = known; i < size; ++i) {
    if (bytes[i] == 0) continue;
    refuse(HEADRACE_BAD_STRUCT,
           "args has a field at byte " + std::to_string(i) + ", this library knows " +
               std::to_string(known) + " bytes: it is older than its caller");
  }
  std::memset(whole, 0, known);
  std::memcpy(whole, given, std::min<std::size_t>(size, known));
}

void copy_answer(const void* whole, std::size_t known, void* to) {
  std::uint32_t size = 0;
  std::memcpy(&size, to, sizeof(size));
  const std::size_t shared = std::min<std::size_t>(size, known);
  auto* bytes = static_cast<unsigned char*>(to);
  std::memcpy(bytes, whole, shared);
  std::memset(bytes + shared, 0, size - shared);
  std::memcpy(to, &size, sizeof(size));
}

headrace_status report(const char* op) noexcept {
  try {
    throw;
  } catch (const refusal& what) {
    return set_error(what.status, op, what.text.c_str());
  } catch (const check_violation& what) {
    return set_error(HEADRACE_INTERNAL, op, what.text.c_str());
  } catch (const std::bad_alloc&) {
    return set_error(HEADRACE_OUT_OF_MEMORY, op, "the host has no memory left");
  } catch (const std::exception& what) {
    return set_error(HEADRACE_INTERNAL, op, what.what());
  } catch (...) {
    return set_error(HEADRACE_INTERNAL, op, "an unknown exception");
  }
}

}  // namespace headrace::kernels::abi
