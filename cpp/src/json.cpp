#include "toughen/json.hpp"

#include <cstdio>
#include <locale>
#include <sstream>

#include "toughen/error.hpp"
#include "utf8.hpp"

namespace toughen {
namespace {

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Json whole() {
        Json value = any(0);
        skip();
        if (at_ != text_.size()) fail("something follows its end");
        return value;
    }

private:
    [[noreturn]] void fail(const char* why) const {
        throw Error("not JSON at byte " + std::to_string(at_ + 1) + ": " + why);
    }
    void skip() {
        while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
    }
    char peek() {
        skip();
        if (at_ == text_.size()) fail("it ends too early");
        return text_[at_];
    }
    void expect(char c) {
        if (peek() != c) fail("another sign was expected");
        ++at_;
    }
    bool word(std::string_view name) {
        if (text_.substr(at_, name.size()) != name) return false;
        at_ += name.size();
        return true;
    }

    Json any(int depth) {
        if (depth > 64) fail("it is nested too deep");
        Json value;
        const char c = peek();
        if (c == '{') return object(depth);
        if (c == '[') return array(depth);
        if (c == '"') {
            value.kind = Json::Kind::string;
            value.string = string();
        } else if (word("true") || word("false")) {
            value.kind = Json::Kind::boolean;
            value.boolean = c == 't';
        } else if (!word("null")) {
            value.kind = Json::Kind::number;
            value.number = number();
        }
        return value;
    }
    Json object(int depth) {
        Json value;
        value.kind = Json::Kind::object;
        expect('{');
        if (peek() == '}') return ++at_, value;
        do {
            if (peek() != '"') fail("a name was expected");
            std::string name = string();
            expect(':');
            value.object[name] = any(depth + 1);
        } while (more('}'));
        return value;
    }
    Json array(int depth) {
        Json value;
        value.kind = Json::Kind::array;
        expect('[');
        if (peek() == ']') return ++at_, value;
        do value.array.push_back(any(depth + 1));
        while (more(']'));
        return value;
    }
    bool more(char end) {
        const char c = peek();
        ++at_;
        if (c != ',' && c != end) fail("a comma or an end was expected");
        return c == ',';
    }
    double number() {
        const auto end = text_.find_first_not_of("+-.0123456789eE", at_);
        std::istringstream stream(std::string(text_.substr(at_, end == std::string_view::npos ? end : end - at_)));
        stream.imbue(std::locale::classic());
        double value = 0;
        if (!(stream >> value) || stream.peek() != std::char_traits<char>::eof()) fail("no value");
        at_ = end == std::string_view::npos ? text_.size() : end;
        return value;
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
    std::string string() {
        std::string made;
        for (++at_; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '"') return ++at_, made;
            if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
            if (c != '\\') {
                made += c;
                continue;
            }
            escape(made);
        }
        fail("a string does not end");
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

}  // namespace

Json Json::parse(std::string_view text) { return Parser(text).whole(); }

const Json& Json::at(const std::string& name, Kind wanted) const {
    const auto found = object.find(name);
    if (found == object.end() || found->second.kind != wanted) throw Error("its entry \"" + name + "\" is missing or wrong");
    return found->second;
}

std::string quoted(std::string_view text) {
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

}  // namespace toughen
