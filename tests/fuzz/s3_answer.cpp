#include "base/check.hpp"
#include "storage/s3_xml.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <string>
#include <string_view>

/// What an object store answers with: views lie inside the text, whatever it is.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::storage;
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"Contents", "Key", "NextContinuationToken", "IsTruncated", "Code"}) {
    for (const std::string_view element : xml_elements(xml, name)) {
      CHECK(element.data() >= xml.data());
      CHECK(element.data() + element.size() <= xml.data() + xml.size());
      (void)xml_text(element, "Key");
    }
    CHECK(xml_text(xml, name).size() <= size);
  }
  return 0;
}
