// UTF-8, strictly: overlong forms, surrogates and code points above U+10FFFF are errors.
#pragma once

#include <string>
#include <string_view>

#include "failure.hpp"

namespace toughen::core {

inline void append_utf8(std::string& to, char32_t code) {
    if (code < 0x80) {
        to += static_cast<char>(code);
        return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned lead[] = {0, 0xC0, 0xE0, 0xF0};
    to += static_cast<char>(lead[more] | (code >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) to += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
}

inline std::string to_utf8(std::u32string_view text) {
    std::string made;
    made.reserve(text.size());
    for (const char32_t code : text) append_utf8(made, code);
    return made;
}

// Gives every code point to take(code, byte), which returns false to stop; throws Failure, which names the byte.
template <typename Take>
void each_code(std::string_view text, Take take) {
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte < 0x80) {
            if (!take(static_cast<char32_t>(byte), i)) return;
            ++i;
            continue;
        }
        const std::size_t more = byte < 0xC2 ? 9 : byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : byte < 0xF5 ? 3 : 9;
        char32_t code = byte & (0x3Fu >> (more & 7));
        bool good = more < 9 && i + more < text.size();
        for (std::size_t k = 1; good && k <= more; ++k) {
            const auto next = static_cast<unsigned char>(text[i + k]);
            good = (next & 0xC0) == 0x80;
            code = code << 6 | (next & 0x3Fu);
        }
        static const char32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (!good || code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
            throw Failure(TOUGHEN_BAD_TEXT, "the text is not UTF-8 (byte " + std::to_string(i + 1) + ")");
        if (!take(code, i)) return;
        i += more + 1;
    }
}

inline std::u32string from_utf8(std::string_view text) {
    std::u32string made;
    made.reserve(text.size());
    each_code(text, [&](char32_t code, std::size_t) { return made += code, true; });
    return made;
}

}  // namespace toughen::core
