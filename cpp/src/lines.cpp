#include "lines.hpp"

#include <vector>

#include "failure.hpp"
#include "json.hpp"
#include "utf8.hpp"

namespace toughen::core {
namespace {

constexpr std::size_t longest_line = 16 * 1024 * 1024;  // bytes
constexpr std::string_view mark = "\xEF\xBB\xBF";

[[noreturn]] void refuse(const char* why) { throw Failure(TOUGHEN_BAD_TEXT, why); }

// As Python's str.isspace.
bool is_space(char32_t c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Words as Python's str.split() finds them.
std::vector<std::string> split_words(const std::string& line) {
    std::vector<std::string> words;
    bool inside = false;
    each_code(line, [&](char32_t code, std::size_t) {
        const bool before = inside;
        inside = !is_space(code);
        if (inside && !before) words.emplace_back();
        if (inside) append_utf8(words.back(), code);
        return true;
    });
    return words;
}

}  // namespace

bool Lines::next(std::string& line) {
    constexpr int end = std::char_traits<char>::eof();
    line.clear();
    for (int c; (c = in_->sbumpc()) != end;) {
        const bool second = returned_ && line.empty() && c == '\n';
        returned_ = false;
        if (second) continue;  // the other half of the last line's end
        if (c == '\n' || c == '\r') {
            returned_ = c == '\r';
            first_ = false;
            return true;
        }
        if (line.size() == longest_line) refuse("the line is longer than 16 MiB");
        line += static_cast<char>(c);
        if (first_ && line == mark) line.clear();
        first_ = first_ && line.size() < mark.size() && mark.substr(0, line.size()) == line && !line.empty();
    }
    return !line.empty();
}

Text text_of_line(const std::string& line, Wanted wanted) {
    each_code(line, [](char32_t, std::size_t) { return true; });
    if (wanted == Wanted::words) return Text::words(split_words(line));
    if (wanted == Wanted::texts) return Text::of(line);
    const auto tab = line.find('\t');
    if (tab == std::string::npos) refuse("the model takes pairs of texts; put a tab between the two");
    return Text::pair(line.substr(0, tab), line.substr(tab + 1));
}

Text text_of_json(const std::string& line, Wanted wanted) {
    each_code(line, [](char32_t, std::size_t) { return true; });
    JsonReader in(line);
    std::vector<std::string> parts;
    const bool list = in.peek() == '[';
    if (list) {
        in.expect('[');
        if (!in.closes(']')) {
            do {
                if (in.peek() != '"') refuse("the list holds something that is no string");
                parts.push_back(in.string());
            } while (in.more(']'));
        }
    } else {
        if (in.peek() != '"') in.fail("a string or a list of strings was expected");
        parts.push_back(in.string());
    }
    in.finish();
    if (wanted == Wanted::words) return Text::words(list ? std::move(parts) : split_words(parts[0]));
    if (!list) return Text::of(std::move(parts[0]));
    if (parts.size() != 2) refuse("it is neither a string nor a list of strings that the model takes");
    return Text::pair(std::move(parts[0]), std::move(parts[1]));
}

}  // namespace toughen::core
