// A small number for each code point, 0 where nothing was set: pages of 64, of which most are never made.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace toughen::core {

class Codes {
public:
    void set(char32_t code, std::uint32_t value) {
        if (places_.empty()) {
            places_.assign(0x110000 / size, 0);
            pages_.emplace_back();
        }
        std::uint16_t& place = places_[code / size];
        if (!place) {
            place = static_cast<std::uint16_t>(pages_.size());  // 17,408 pages at most
            pages_.emplace_back();
        }
        pages_[place][code % size] = value;
    }
    void set_all(const std::u32string& codes, std::uint32_t value) {
        for (const char32_t code : codes) set(code, value);
    }
    std::uint32_t operator[](char32_t code) const { return places_.empty() ? 0 : pages_[places_[code / size]][code % size]; }

private:
    static constexpr char32_t size = 64;
    using Page = std::array<std::uint32_t, size>;
    std::vector<std::uint16_t> places_;
    std::vector<Page> pages_;  // the first is empty
};

}  // namespace toughen::core
