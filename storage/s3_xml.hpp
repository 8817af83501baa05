#pragma once

#include <string>
#include <string_view>
#include <vector>

/// The little XML that S3 answers with: elements without attributes of interest, never nested in
/// one of their own name. Text that is not such XML gives nothing.
namespace headrace::storage {

/// What stands between `<name>` and `</name>`, each time, in order. Views into `xml`.
std::vector<std::string_view> xml_elements(std::string_view xml, std::string_view name);

/// The text of the first such element, its entities replaced; "" if there is none.
std::string xml_text(std::string_view xml, std::string_view name);

}  // namespace headrace::storage
