#pragma once

#include "kernels/include/headrace_kernels.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

/// How an entry of the C ABI is written, in either library:
///
///   extern "C" headrace_status headrace_top_k(const headrace_top_k_args* given, void* stream,
///                                             void* workspace, size_t workspace_bytes) {
///     return abi::entry("top_k", given, [&](const headrace_top_k_args& args) {
///       check(args);                                        // need…(), all before any work
///       abi::need_workspace(workspace, workspace_bytes, bytes_needed(args));
///       …
///     });
///   }
///   extern "C" size_t headrace_top_k_workspace(const headrace_top_k_args* given) {
///     return abi::workspace_query("top_k", given, bytes_needed);
///   }
///
/// Exceptions live between a `need…` and `entry` only: this folder is where they stop. A CHECK that
/// fails inside such a library throws, too (abi/check_failed.cpp), and becomes HEADRACE_INTERNAL.
namespace headrace::kernels::abi {

/// What an entry ends with when it isn't done.
struct refusal {
  headrace_status status;
  std::string text;
};

/// A CHECK that failed inside the library: a bug, or an argument that an entry forgot to check.
struct check_violation {
  std::string text;
};

[[noreturn]] void refuse(headrace_status status, std::string text);

/// Refuses the call as a bad argument unless `holds`. `text` says what must hold.
inline void need(bool holds, const char* text) {
  if (!holds) refuse(HEADRACE_BAD_ARGUMENT, text);
}

/// a * b as a size, refused where it has none: `what` is too large.
std::size_t product(std::uint64_t a, std::uint64_t b, const char* what);

/// An array of `count` elements: null only when it is empty, aligned to `alignment` bytes.
void need_bytes(const void* array, std::uint64_t count, std::size_t alignment, const char* name);

/// The same for an array of a type, aligned as the type is.
template <class Value>
void need_array(const Value* array, std::uint64_t count, const char* name) {
  need_bytes(array, count, alignof(Value), name);
}

/// One of the formats, else refused: `name` is the field.
void need_dtype(headrace_dtype dtype, const char* name);

/// Bytes of one number.
std::size_t dtype_bytes(headrace_dtype dtype);

/// A workspace that holds `needed` bytes, aligned.
void need_workspace(const void* workspace, std::size_t bytes, std::size_t needed);

/// Copies the `size` bytes at `given` into the `known` bytes at `whole`; zeros where the caller has
/// fewer. Refused: no args, fewer than the 8 bytes of struct_size and flags, set bytes beyond.
void copy_args(const void* given, void* whole, std::size_t known);

/// *given as this library knows the struct.
template <class Args>
Args whole_args(const Args* given) {
  static_assert(std::is_trivially_copyable_v<Args> && std::is_standard_layout_v<Args>);
  static_assert(offsetof(Args, struct_size) == 0 && offsetof(Args, flags) == 4);
  Args whole;
  copy_args(given, &whole, sizeof(Args));
  return whole;
}

/// Writes what the caller's struct has room for: the first struct_size bytes of `whole`, zeros
/// behind what this library knows. The struct keeps its struct_size.
void copy_answer(const void* whole, std::size_t known, void* to);

/// Turns the exception in flight into a status and the thread's error text, "op: text".
headrace_status report(const char* op) noexcept;

/// Runs work(); what it throws becomes a status.
template <class Work>
headrace_status call(const char* op, const Work& work) noexcept {
  try {
    work();
    return HEADRACE_OK;
  } catch (...) {
    return report(op);
  }
}

/// The same for work(args) with a whole copy of *given.
template <class Args, class Work>
headrace_status entry(const char* op, const Args* given, const Work& work) noexcept {
  return call(op, [&] { work(whole_args(given)); });
}

/// The bytes that bytes_needed(args) returns, or HEADRACE_REFUSED with an error text.
template <class Args, class Bytes>
std::size_t workspace_query(const char* op, const Args* given, const Bytes& bytes_needed) noexcept {
  try {
    return bytes_needed(whole_args(given));
  } catch (...) {
    report(op);
    return HEADRACE_REFUSED;
  }
}

}  // namespace headrace::kernels::abi
