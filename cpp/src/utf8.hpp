// UTF-8, strictly: overlong forms, surrogates and code points above U+10FFFF are errors.
#pragma once

#include <string>
#include <string_view>

namespace toughen {

void append_utf8(std::string& to, char32_t code);
std::string to_utf8(std::u32string_view text);
// Throws Error, which names the byte.
std::u32string from_utf8(std::string_view text);

}  // namespace toughen
