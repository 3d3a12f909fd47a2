// A small number for each code point, 0 where nothing was set: pages of 256, of which most are never made.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace toughen {

class Codes {
public:
    Codes() : pages_(0x1100) {}
    void set(char32_t code, std::uint32_t value) {
        auto& page = pages_[code >> 8];
        if (!page) page = std::make_unique<Page>();
        (*page)[code & 0xFF] = value;
    }
    void set_all(const std::u32string& codes, std::uint32_t value) {
        for (const char32_t code : codes) set(code, value);
    }
    std::uint32_t operator[](char32_t code) const {
        const auto& page = pages_[code >> 8];
        return page ? (*page)[code & 0xFF] : 0;
    }

private:
    using Page = std::array<std::uint32_t, 256>;
    std::vector<std::unique_ptr<Page>> pages_;
};

}  // namespace toughen
