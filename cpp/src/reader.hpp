// Reads the fields of tokenizer.bin; never beyond its end, and no number of entries that the file cannot hold.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "failure.hpp"

namespace toughen::core {

class Reader {
public:
    explicit Reader(std::string_view data) : data_(data) {}

    std::uint8_t u8() { return static_cast<std::uint8_t>(take(1)[0]); }
    bool flag() {
        const std::uint8_t value = u8();
        if (value > 1) damaged();
        return value == 1;
    }
    std::uint32_t u32() { return number<std::uint32_t>(); }
    std::uint64_t u64() { return number<std::uint64_t>(); }
    double f64() {
        const std::uint64_t bits = u64();
        double value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    std::string_view blob() { return take(u32()); }
    // How many entries follow, each of at least so many bytes, and no more of them than so many.
    std::uint32_t count(std::size_t bytes_each, std::uint32_t most = UINT32_MAX) {
        const std::uint32_t entries = u32();
        if (entries > (data_.size() - at_) / bytes_each || entries > most) damaged();
        return entries;
    }
    char32_t code() {
        const std::uint32_t value = u32();
        if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) damaged();
        return value;
    }
    std::u32string codes(std::uint32_t most = UINT32_MAX) {
        std::u32string made(count(4, most), U'\0');
        for (char32_t& value : made) value = code();
        return made;
    }
    bool done() const { return at_ == data_.size(); }
    [[noreturn]] static void damaged() { throw Failure(TOUGHEN_BAD_FILE, "its content makes no sense"); }

private:
    template <typename T>
    T number() {
        const std::string_view bytes = take(sizeof(T));
        T value = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<unsigned char>(bytes[i])) << (8 * i);
        return value;
    }
    std::string_view take(std::size_t bytes) {
        if (bytes > data_.size() - at_) damaged();
        const std::string_view found = data_.substr(at_, bytes);
        at_ += bytes;
        return found;
    }

    std::string_view data_;
    std::size_t at_ = 0;
};

}  // namespace toughen::core
