#include "split.hpp"

#include <string>
#include <vector>

#include "codes.hpp"

namespace toughen::core {
namespace {

bool part(View text, bool first, std::size_t start, std::size_t end, const Next& next) {
    return end == start || next(text.part(start, end), first && start == 0);
}

// The origins of a text before which a code point was put, which has the origin of the first one; null where it is not traced.
const Span* prefixed(View text, std::vector<Span>& made) {
    if (!text.from) return nullptr;
    made.assign(1, text.from[0]);
    made.insert(made.end(), text.from, text.from + text.codes.size());
    return made.data();
}

// Words end at some code points, of which some vanish (1) and some stay as pieces of their own (2).
class Parting : public Splitter {
public:
    Parting(Reader& in, bool runs) : runs_(runs) {
        kind_.set_all(in.codes(), 1);
        kind_.set_all(in.codes(), 2);
    }
    bool split(View given, bool first, const Next& next) const override {
        const std::u32string_view text = given.codes;
        for (std::size_t i = 0; i < text.size();) {
            const std::uint32_t kind = kind_[text[i]];
            std::size_t end = i + 1;
            while ((kind != 2 || runs_) && end < text.size() && kind_[text[end]] == kind) ++end;
            if (kind != 1 && !part(given, first, i, end, next)) return false;
            i = end;
        }
        return true;
    }

private:
    bool runs_;  // whether what stays apart stays together (regular expression \w+|[^\w\s]+)
    Codes kind_;
};

class Metaspace : public Splitter {
public:
    explicit Metaspace(Reader& in) : mark_(in.codes(1)), scheme_(in.u8()), split_(in.flag()) {
        if (mark_.size() != 1 || scheme_ > 2) Reader::damaged();
    }
    bool split(View given, bool first, const Next& next) const override {
        const std::u32string_view text = given.codes;
        const char32_t mark = mark_[0];
        const bool prepend = (scheme_ == 0 || (scheme_ == 1 && first)) && !text.empty() && text[0] != mark && text[0] != U' ';
        std::u32string marked;
        marked.reserve(text.size() + 1);
        if (prepend) marked += mark;
        for (const char32_t code : text) marked += code == U' ' ? mark : code;
        std::vector<Span> from;
        const View whole{marked, prepend ? prefixed(given, from) : given.from};
        std::size_t start = 0;
        for (std::size_t i = 1; split_ && i < marked.size(); ++i) {
            if (marked[i] != mark) continue;
            if (!part(whole, first, start, i, next)) return false;
            start = i;
        }
        return part(whole, first, start, marked.size(), next);
    }

private:
    std::u32string mark_;
    std::uint8_t scheme_;  // the mark is put before all pieces, the first, or none
    bool split_;
};

// GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
class ByteLevel : public Splitter {
public:
    explicit ByteLevel(Reader& in) : prefix_(in.flag()), split_(in.flag()) {
        for (const std::uint32_t kind : {letter, digit, space}) kind_.set_all(in.codes(), kind);
    }
    bool split(View given, bool first, const Next& next) const override {
        std::u32string spaced;
        std::vector<Span> from;
        if (prefix_ && !given.codes.empty() && given.codes[0] != U' ')
            given = {spaced.append(1, U' ').append(given.codes), prefixed(given, from)};
        const std::u32string_view text = given.codes;
        for (std::size_t i = 0; i < text.size();) {
            const std::size_t end = split_ ? match(text, i) : text.size();
            if (!part(given, first, i, end, next)) return false;
            i = end;
        }
        return true;
    }

private:
    enum Kind : std::uint32_t { other, letter, digit, space };

    std::size_t run(std::u32string_view text, std::size_t i) const {
        const std::uint32_t kind = kind_[text[i]];
        while (i < text.size() && kind_[text[i]] == kind) ++i;
        return i;
    }
    std::size_t match(std::u32string_view text, std::size_t i) const {
        if (text[i] == U'\'') {
            for (const char32_t* ending : {U"s", U"t", U"re", U"ve", U"m", U"ll", U"d"}) {
                const std::u32string_view suffix(ending);
                if (text.compare(i + 1, suffix.size(), suffix) == 0) return i + 1 + suffix.size();
            }
        }
        if (kind_[text[i]] != space) return run(text, i);
        if (text[i] == U' ' && i + 1 < text.size() && kind_[text[i + 1]] != space) return run(text, i + 1);
        const std::size_t end = run(text, i);
        return end == text.size() || end - i == 1 ? end : end - 1;
    }

    bool prefix_, split_;
    Codes kind_;
};

}  // namespace

std::unique_ptr<Splitter> read_splitter(Reader& in) {
    switch (in.u8()) {
        case 1: case 2: case 5: return std::make_unique<Parting>(in, false);
        case 3: return std::make_unique<Metaspace>(in);
        case 4: return std::make_unique<ByteLevel>(in);
        case 6: return std::make_unique<Parting>(in, true);
        default: Reader::damaged();
    }
}

}  // namespace toughen::core
