// JSON as RFC 8259 has it: read piece by piece, or whole where it is a description; strings to write.
#pragma once

#include <cstdio>
#include <cstdint>
#include <limits>
#include <locale>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "failure.hpp"
#include "utf8.hpp"

namespace toughen::core {

// Reads values one after the other; throws Failure where the text is no JSON or has a lone surrogate.
class JsonReader {
public:
    explicit JsonReader(std::string_view text) : text_(text) {}

    [[noreturn]] void fail(const char* why) const {
        throw Failure(TOUGHEN_BAD_TEXT, "not JSON at byte " + std::to_string(at_ + 1) + ": " + why);
    }
    // The next sign, white space apart.
    char peek() {
        while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
        if (at_ == text_.size()) fail("it ends too early");
        return text_[at_];
    }
    void expect(char c) {
        if (peek() != c) fail("another sign was expected");
        ++at_;
    }
    // After an opening bracket: whether it closes at once.
    bool closes(char end) {
        if (peek() != end) return false;
        ++at_;
        return true;
    }
    // After a value of a list: whether another follows.
    bool more(char end) {
        const char c = peek();
        if (c != ',' && c != end) fail("a comma or an end was expected");
        ++at_;
        return c == ',';
    }
    void finish() {
        while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
        if (at_ != text_.size()) fail("something follows its end");
    }
    bool word(std::string_view name) {
        if (text_.substr(at_, name.size()) != name) return false;
        at_ += name.size();
        return true;
    }
    double number() {
        const std::size_t start = at_;
        take('-');
        if (!take('0')) digits();
        if (take('.')) digits();
        if (take('e') || take('E')) {
            if (!take('+')) take('-');
            digits();
        }
        std::istringstream stream(std::string(text_.substr(start, at_ - start)));
        stream.imbue(std::locale::classic());
        double value = 0;
        if (!(stream >> value)) fail("a number that is too large");
        return value;
    }
    std::string string() {
        std::string made;
        for (++at_; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '"') return ++at_, made;
            if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
            if (c == '\\')
                escape(made);
            else
                made += c;
        }
        fail("a string without end");
    }

private:
    bool take(char c) {
        if (at_ == text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void digits() {
        const std::size_t start = at_;
        while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
        if (at_ == start) fail("no value");
    }
    unsigned hex() {
        unsigned value = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = at_ < text_.size() ? text_[at_] : ' ';
            const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
            if (digit < 0) fail("a bad \\u");
            value = value * 16 + static_cast<unsigned>(digit);
        }
        return value;
    }
    void escape(std::string& made) {
        static const std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
        const char c = ++at_ < text_.size() ? text_[at_] : ' ';
        if (const auto known = names.find(c); known != std::string_view::npos) {
            made += values[known];
            return;
        }
        if (c != 'u') fail("an unknown escape");
        ++at_;
        char32_t code = hex();
        if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
            at_ += 2;
            const unsigned low = hex();
            if (low < 0xDC00 || low > 0xDFFF) fail("a lone surrogate");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xD800 && code < 0xE000) {
            fail("a lone surrogate");
        }
        append_utf8(made, code);
        --at_;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

// A whole value in memory, for descriptions; of texts from outside a JsonReader reads what is wanted, and no more.
struct Json {
    enum class Kind { null, boolean, number, string, array, object };
    static constexpr int deepest = 64;
    static constexpr std::size_t most_values = 200'000;

    Kind kind = Kind::null;
    bool boolean = false;
    double number = 0;
    std::string string;
    std::vector<Json> array;
    std::map<std::string, Json> object;

    static Json parse(std::string_view text) {
        JsonReader in(text);
        std::size_t left = most_values;
        Json value = any(in, 0, left);
        in.finish();
        return value;
    }
    bool has(const std::string& name) const { return object.count(name) && object.at(name).kind != Kind::null; }
    // The member of an object; Failure names it where it is missing or of another kind.
    const Json& at(const std::string& name, Kind wanted) const {
        const auto found = object.find(name);
        if (found == object.end() || found->second.kind != wanted) throw wrong(name);
        return found->second;
    }
    static Failure wrong(const std::string& name) {
        return Failure(TOUGHEN_BAD_FILE, "the entry \"" + name + "\" of its description is missing or wrong");
    }

private:
    static Json any(JsonReader& in, int depth, std::size_t& left) {
        if (depth > deepest) in.fail("it is nested too deep");
        if (left-- == 0) in.fail("it has too many values");
        Json value;
        const char c = in.peek();
        if (c == '{') {
            value.kind = Kind::object;
            in.expect('{');
            if (in.closes('}')) return value;
            do {
                if (in.peek() != '"') in.fail("a name was expected");
                std::string name = in.string();
                in.expect(':');
                value.object[std::move(name)] = any(in, depth + 1, left);
            } while (in.more('}'));
        } else if (c == '[') {
            value.kind = Kind::array;
            in.expect('[');
            if (in.closes(']')) return value;
            do value.array.push_back(any(in, depth + 1, left));
            while (in.more(']'));
        } else if (c == '"') {
            value.kind = Kind::string;
            value.string = in.string();
        } else if (in.word("true") || in.word("false")) {
            value.kind = Kind::boolean;
            value.boolean = c == 't';
        } else if (!in.word("null")) {
            value.kind = Kind::number;
            value.number = in.number();
        }
        return value;
    }
};

// The text in double quotes, escaped.
inline std::string quoted(std::string_view text) {
    std::string made = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            made += '\\';
            made += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            char code[8];
            std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
            made += code;
        } else {
            made += c;
        }
    }
    return made + '"';
}

}  // namespace toughen::core
