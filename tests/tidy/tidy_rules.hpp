#pragma once

#include <string>
#include <string_view>
#include <vector>

/// The rules of docs/architecture.md that can be read off a file's text. Each function takes a path
/// from the root of the tree, such as `ps/shard/shard.cpp`, and the file's text, and returns one
/// line for each fault: `path:line: what`.
namespace headrace::tests {

/// Includes point down the layers, never to a sibling; a library is included in its home only; our
/// own files are included by their path from the root.
std::vector<std::string> include_faults(std::string_view path, std::string_view text);

/// Headers have `#pragma once` and no `using namespace`.
std::vector<std::string> header_faults(std::string_view path, std::string_view text);

/// No path of somebody's machine; a note to do something later carries an issue number.
std::vector<std::string> text_faults(std::string_view path, std::string_view text);

/// Each operator has a row in the section "## Ops" of docs/kernels.md that begins with its name in
/// code type. `paths` are those of the tree: kernels/NAME/…_ref.cpp makes NAME an operator.
std::vector<std::string> operator_faults(const std::vector<std::string>& paths,
                                         std::string_view kernels_document);

}  // namespace headrace::tests
