// The visible sign that stands for each byte in byte-level vocabularies: GPT-2's choice.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "utf8.hpp"

namespace toughen::core {

constexpr bool visible(unsigned byte) { return (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173; }

// [256]
inline const std::array<char32_t, 256>& byte_signs() {
    static const std::array<char32_t, 256> made = [] {
        std::array<char32_t, 256> signs{};
        char32_t hidden = 256;
        for (unsigned byte = 0; byte < 256; ++byte) signs[byte] = visible(byte) ? byte : hidden++;
        return signs;
    }();
    return made;
}

inline std::string signs_of(std::string_view bytes) {
    std::string made;
    for (const char byte : bytes) append_utf8(made, byte_signs()[static_cast<unsigned char>(byte)]);
    return made;
}

// The bytes that tokens stand for, one after the other; a token with another sign stands for itself.
inline std::string bytes_of(const std::vector<std::string>& tokens) {
    static const std::vector<int> bytes = [] {
        std::vector<int> made(0x144, -1);
        for (int byte = 0; byte < 256; ++byte) made[byte_signs()[static_cast<unsigned>(byte)]] = byte;
        return made;
    }();
    std::string made;
    for (const std::string& token : tokens) {
        const std::size_t before = made.size();
        each_code(token, [&](char32_t code, std::size_t) {
            const bool known = code < bytes.size() && bytes[code] >= 0;
            if (known)
                made += static_cast<char>(bytes[code]);
            else
                made.replace(before, std::string::npos, token);
            return known;
        });
    }
    return made;
}

}  // namespace toughen::core
