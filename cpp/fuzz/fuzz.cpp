// What libFuzzer tries: the first byte says whether the rest is a table (of version 1 where it is small), a graph's metadata, lines
// of text or of JSON, or ids.
// Tables get the right sum, so that what is behind it is tried too. TOUGHEN_FUZZ_TABLES names tables that read the texts.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "description.hpp"
#include "failure.hpp"
#include "lines.hpp"
#include "toughen/tokenizer.hpp"

namespace {

using toughen::Text;
using toughen::Tokenizer;
using namespace toughen::core;

std::string little(std::uint64_t value, int bytes) {
    std::string made;
    for (int i = 0; i < bytes; ++i) made += static_cast<char>(value >> (8 * i));
    return made;
}

std::string signed_table(std::string_view payload, std::uint64_t version) {
    std::uint32_t crc = 0xFFFFFFFFu, low = 1, high = 0;
    for (const char c : payload) {
        const auto byte = static_cast<unsigned char>(c);
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
        low = (low + byte) % 65521;
        high = (high + low) % 65521;
    }
    const std::uint64_t sum = static_cast<std::uint64_t>(high << 16 | low) << 32 | (crc ^ 0xFFFFFFFFu);
    return "TOUGHTOK" + little(version, 4) + little(payload.size(), 8) + little(sum, 8) + std::string(payload);
}

void decode(const Tokenizer& tokenizer, const std::vector<std::int64_t>& ids) {
    for (const bool skip : {true, false}) {
        try {
            tokenizer.decode(ids, skip);
        } catch (const toughen::Error&) {
        }
    }
}

// Places are within the text, and what is found besides them is what is found without.
void compare(const toughen::Encoded& bare, const toughen::Encoded& row, const Text& text) {
    bool good = bare.ids == row.ids && bare.types == row.types && bare.words == row.words && row.tokens.size() == row.ids.size();
    for (std::size_t i = 0; good && i < row.ids.size(); ++i) {
        const std::size_t size = row.parts[i] < 0 ? 0 : text.parts()[static_cast<std::size_t>(row.parts[i])].size();
        good = row.offsets[i].begin <= size && row.offsets[i].end <= size;
    }
    if (!good) std::abort();
}

// Every form of a text; those that the table does not take are refused.
void encode(const Tokenizer& tokenizer, const std::string& text) {
    const std::size_t half = text.size() / 2;
    for (const Text& one : {Text::of(text), Text::pair(text.substr(0, half), text.substr(half)), Text::words({text.substr(0, half), text.substr(half)})}) {
        try {
            const auto rows = tokenizer.encode({one});
            for (const auto& row : rows) {
                for (const std::int64_t id : row.ids) tokenizer.token(id);
                decode(tokenizer, row.ids);
            }
            const auto detailed = tokenizer.encode({one}, toughen::Details::all);
            if (rows.size() != detailed.size()) std::abort();
            for (std::size_t i = 0; i < rows.size(); ++i) compare(rows[i], detailed[i], one);
        } catch (const toughen::Error&) {
        }
    }
}

void table(std::string_view payload, std::uint64_t version) {
    const std::string file = signed_table(payload, version);
    try {
        const Tokenizer tokenizer(file.data(), file.size());
        for (const char* text : {"", "a very good film", "ugly \xC3\xA9\xCC\x81 \xF0\x9F\x98\x80 \xE4\xB8\xAD\xE6\x96\x87 [MASK]<s>\t\r\n don't  "}) encode(tokenizer, text);
    } catch (const toughen::Error&) {
    }
}

const std::vector<Tokenizer>& tables() {
    static const std::vector<Tokenizer> known = [] {
        std::vector<Tokenizer> made;
        const char* names = std::getenv("TOUGHEN_FUZZ_TABLES");
        std::istringstream list(names ? names : "");
        for (std::string name; std::getline(list, name, ':');) made.emplace_back(name);
        return made;
    }();
    return known;
}

void lines(std::string_view data, bool json) {
    for (const Wanted wanted : {Wanted::texts, Wanted::pairs, Wanted::words}) {
        std::stringbuf in{std::string(data)};
        Lines all(&in);
        std::string line;
        try {
            while (all.next(line)) json ? text_of_json(line, wanted) : text_of_line(line, wanted);
        } catch (const Failure&) {
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0]) {
        case 'T': table(rest, 2); break;
        case 't': table(rest, 1); break;
        case 'M':
            try {
                read_description(std::string(rest));
            } catch (const Failure&) {
            }
            break;
        case 'J': lines(rest, true); break;
        case 'L':
            lines(rest, false);
            for (const Tokenizer& tokenizer : tables()) encode(tokenizer, std::string(rest));
            break;
        case 'I': {
            std::vector<std::int64_t> ids;
            for (std::size_t i = 0; i + 1 < rest.size(); i += 2)
                ids.push_back(static_cast<unsigned char>(rest[i]) | static_cast<signed char>(rest[i + 1]) * 256);
            for (const Tokenizer& tokenizer : tables()) decode(tokenizer, ids);
            break;
        }
        default: return -1;  // not kept
    }
    return 0;
}
