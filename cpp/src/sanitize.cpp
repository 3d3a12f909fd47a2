#include "sanitize.hpp"

#include <utility>
#include <vector>

#include "codes.hpp"
#include "copy.hpp"

namespace toughen::core {
namespace {

// Code points of a set go where the so many before them, of the text as it came, are all of another set, or are not.
class Erase : public Step {
public:
    explicit Erase(Reader& in) {
        erased_.set_all(in.codes(), 1);
        before_ = in.u32();
        if (before_ == 0 || before_ > 64) Reader::damaged();
        among_ = in.flag();
        set_.set_all(in.codes(), 1);
    }
    void apply(Text& given, std::size_t) const override {
        const std::u32string& text = given.codes;
        Copy out(given);
        std::size_t run = 0, kept = 0;  // code points of the set just before; where what is not copied yet begins
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (erased_[text[i]] && (run >= before_) == among_) {
                out.keep(kept, i);
                kept = i + 1;
            }
            run = set_[text[i]] ? run + 1 : 0;
        }
        out.keep(kept, text.size());
        out.finish();
    }

private:
    Codes erased_, set_;
    std::uint32_t before_;
    bool among_;
};

// A backspace takes the code point before it along; so many times over the whole text.
class Backspace : public Step {
public:
    explicit Backspace(Reader& in) : times_(in.u32()) {
        if (times_ > 64) Reader::damaged();
    }
    void apply(Text& given, std::size_t) const override {
        for (std::uint32_t time = 0; time < times_ && given.codes.find(U'\b') != std::u32string::npos; ++time) {
            const std::u32string& text = given.codes;
            Copy out(given);
            for (std::size_t i = 0; i < text.size(); ++i) {
                if (text[i] != U'\b' && i + 1 < text.size() && text[i + 1] == U'\b')
                    ++i;
                else
                    out.keep(i, i + 1);
            }
            out.finish();
        }
    }
    bool spans(char32_t) const override { return times_ > 0; }

private:
    std::uint32_t times_;
};

// Letters that look like another alphabet's become those, one letter after the other, in words that have one of that
// alphabet near and none near that looks like none of it.
class Mixed : public Step {
public:
    explicit Mixed(Reader& in) : reach_(in.u32()) {
        if (reach_ > 1024) Reader::damaged();
        set_bit(in.codes(), letter);
        set_bit(in.codes(), wanted);
        set_bit(in.codes(), unlike);
        const std::uint32_t entries = in.count(8, 1024);
        for (std::uint32_t i = 0; i < entries; ++i) {
            const char32_t code = in.code();
            made_.emplace_back(code, in.code());
            set_bit({code}, alike);
        }
    }
    void apply(Text& text, std::size_t) const override {
        std::u32string& codes = text.codes;
        std::vector<std::size_t> places;
        for (std::size_t i = 0; i < codes.size(); ++i)
            if (kinds_[codes[i]] & alike) places.push_back(i);
        if (places.empty()) return;
        for (const auto& [code, made] : made_) {
            std::vector<std::size_t> changed;
            for (const std::size_t i : places)
                if (codes[i] == code && mixed(codes, i)) changed.push_back(i);
            for (const std::size_t i : changed) codes[i] = made;
        }
    }
    bool spans(char32_t code) const override { return kinds_[code] & (letter | alike); }

private:
    enum Kind : std::uint32_t { letter = 1, wanted = 2, unlike = 4, alike = 8 };

    void set_bit(const std::u32string& codes, Kind kind) {
        for (const char32_t code : codes) kinds_.set(code, kinds_[code] | kind);
    }
    bool mixed(const std::u32string& codes, std::size_t place) const {
        std::uint32_t seen = 0;
        for (std::size_t i = place + 1; i < codes.size() && i - place <= reach_ && kinds_[codes[i]] & letter; ++i) seen |= kinds_[codes[i]];
        for (std::size_t i = place; i-- > 0 && place - i <= reach_ && kinds_[codes[i]] & letter;) seen |= kinds_[codes[i]];
        return (seen & wanted) && !(seen & unlike);
    }

    std::uint32_t reach_;
    Codes kinds_;
    std::vector<std::pair<char32_t, char32_t>> made_;
};

}  // namespace

std::unique_ptr<Step> read_sanitizing(std::uint8_t kind, Reader& in) {
    switch (kind) {
        case 9: return std::make_unique<Erase>(in);
        case 10: return std::make_unique<Backspace>(in);
        case 11: return std::make_unique<Mixed>(in);
        default: Reader::damaged();
    }
}

}  // namespace toughen::core
