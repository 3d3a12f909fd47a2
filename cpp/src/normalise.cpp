#include "normalise.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "codes.hpp"
#include "copy.hpp"
#include "sanitize.hpp"

namespace toughen::core {
namespace {

// A table of ours makes few code points of one; one that makes ever more would fill the memory.
void bound(const std::u32string& out, std::size_t most) {
    if (out.size() > most) Reader::damaged();
}

class Map : public Step {
public:
    explicit Map(Reader& in) {
        const std::uint32_t entries = in.count(8);
        for (std::uint32_t i = 0; i < entries; ++i) {
            const char32_t code = in.code();
            made_.push_back(in.codes());
            place_.set(code, static_cast<std::uint32_t>(made_.size()));
        }
    }
    void apply(Text& text, std::size_t most) const override {
        std::u32string out;
        std::vector<Span> from;
        out.reserve(text.codes.size());
        for (std::size_t i = 0; i < text.codes.size(); ++i) {
            const char32_t code = text.codes[i];
            const std::size_t before = out.size();
            if (const std::uint32_t place = place_[code])
                out += made_[place - 1];
            else
                out += code;
            bound(out, most);
            if (text.traced) trace(text, i, out.size() - before, from);
        }
        text.codes.swap(out);
        if (!text.holds) text.from.swap(from);
    }

private:
    // What is made of a code point comes from where it came from.
    static void trace(Text& text, std::size_t i, std::size_t made, std::vector<Span>& from) {
        if (!text.holds) return void(from.insert(from.end(), made, text.from[i]));
        for (std::size_t k = 0; k < made; ++k) text.changes.push_back(k > 0);
    }

    Codes place_;
    std::vector<std::u32string> made_;
};

Codes read_ranks(Reader& in) {
    Codes ranks;
    const std::uint32_t entries = in.count(8);
    for (std::uint32_t i = 0; i < entries; ++i) {
        const char32_t code = in.code();
        ranks.set(code, in.u32());
    }
    return ranks;
}

// Canonical ordering: runs of combining marks, stably sorted by their class; each keeps its change.
class Reorder : public Step {
public:
    explicit Reorder(Reader& in) : ranks_(read_ranks(in)) {}
    void apply(Text& text, std::size_t) const override {
        std::u32string& codes = text.codes;
        if (text.traced) text.changes.resize(codes.size(), 0);
        for (std::size_t i = 0; i < codes.size(); ++i) {
            std::size_t end = i;
            while (end < codes.size() && ranks_[codes[end]]) ++end;
            if (end - i > 1) sort(text, i, end);
            i = std::max(i, end);
        }
    }
    bool joins() const override { return true; }

private:
    struct Mark {
        char32_t code;
        std::int64_t change;
    };
    void sort(Text& text, std::size_t start, std::size_t end) const {
        std::vector<Mark> marks;
        for (std::size_t i = start; i < end; ++i) marks.push_back({text.codes[i], text.traced ? text.changes[i] : 0});
        std::stable_sort(marks.begin(), marks.end(), [this](const Mark& a, const Mark& b) { return ranks_[a.code] < ranks_[b.code]; });
        for (std::size_t i = start; i < end; ++i) {
            text.codes[i] = marks[i - start].code;
            if (text.traced) text.changes[i] = marks[i - start].change;
        }
    }

    Codes ranks_;
};

// Canonical composition, after Reorder: Unicode Standard, D117; Hangul by arithmetic (3.12).
class Compose : public Step {
public:
    explicit Compose(Reader& in) : ranks_(read_ranks(in)) {
        const std::uint32_t entries = in.count(12);
        for (std::uint32_t i = 0; i < entries; ++i) {
            const char32_t first = in.code(), second = in.code();
            pairs_[key(first, second)] = in.code();
        }
    }
    void apply(Text& text, std::size_t) const override {
        std::u32string out;
        std::vector<std::int64_t> changes;
        if (text.traced) text.changes.resize(text.codes.size(), 0);
        std::size_t starter = std::u32string::npos;
        std::uint32_t last = 0;  // rank of the mark before, if it stayed
        for (std::size_t i = 0; i < text.codes.size(); ++i) {
            const char32_t code = text.codes[i];
            const std::uint32_t rank = ranks_[code];
            const bool open = starter != std::u32string::npos && (out.size() == starter + 1 || (last && last < rank));
            const char32_t made = open ? compose(out[starter], code) : 0;
            if (made) {
                out[starter] = made;
                if (text.traced) changes[starter] += text.changes[i] - 1;
                continue;
            }
            if (rank == 0) starter = out.size();
            last = rank;
            out += code;
            if (text.traced) changes.push_back(text.changes[i]);
        }
        text.codes.swap(out);
        text.changes.swap(changes);
    }
    bool joins() const override { return true; }

private:
    static std::uint64_t key(char32_t a, char32_t b) { return static_cast<std::uint64_t>(a) << 32 | b; }
    char32_t compose(char32_t a, char32_t b) const {
        if (a >= 0x1100 && a < 0x1113 && b >= 0x1161 && b < 0x1176) return 0xAC00 + ((a - 0x1100) * 21 + (b - 0x1161)) * 28;
        if (a >= 0xAC00 && a < 0xD7A4 && (a - 0xAC00) % 28 == 0 && b > 0x11A7 && b < 0x11C3) return a + (b - 0x11A7);
        const auto found = pairs_.find(key(a, b));
        return found == pairs_.end() ? 0 : found->second;
    }
    Codes ranks_;
    std::unordered_map<std::uint64_t, char32_t> pairs_;
};

std::size_t utf8_size(char32_t code) { return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4; }

// SentencePiece's map as the tokenizers library applies it: a grapheme below 6 bytes becomes what its shortest prefix
// in the map becomes; of others each code point by itself.
class Precompiled : public Step {
public:
    explicit Precompiled(Reader& in) {
        const std::uint32_t entries = in.count(8);
        for (std::uint32_t i = 0; i < entries; ++i) {
            std::u32string from = in.codes();
            if (from.empty()) Reader::damaged();
            first_.set(from[0], 1);
            map_[std::move(from)] = in.codes();
        }
        classes_ = read_ranks(in);
    }
    void apply(Text& given, std::size_t most) const override {
        const std::u32string& text = given.codes;
        Made out;
        out.codes.reserve(text.size());
        out.traced = given.traced;
        for (std::size_t i = 0; i < text.size();) {
            std::size_t end = i, bytes = 0;
            do bytes += utf8_size(text[end++]);
            while (end < text.size() && joined(text, i, end));
            if (bytes < 6 && end - i > 1 && replace(std::u32string_view(text).substr(i, end - i), out)) {
                i = end;
                continue;
            }
            for (; i < end; ++i)
                if (!replace(std::u32string_view(text).substr(i, 1), out)) out.keep(text[i]);
            bound(out.codes, most);
        }
        given.codes.swap(out.codes);
        given.changes.swap(out.changes);
    }

private:
    // What is written, with its changes. Of a chunk that becomes shorter the last one written takes the places of the rest,
    // also where the chunk vanishes; at the beginning there is none, and what follows is a place off, as in the tokenizers library.
    struct Made {
        std::u32string codes;
        std::vector<std::int64_t> changes;
        bool traced = false;

        void keep(char32_t code) {
            codes += code;
            if (traced) changes.push_back(0);
        }
        void put(const std::u32string& made, std::size_t before) {
            codes += made;
            if (!traced) return;
            for (std::size_t i = 0; i < made.size(); ++i) changes.push_back(i >= before);
            if (made.size() < before && !changes.empty()) changes.back() -= static_cast<std::int64_t>(before - made.size());
        }
    };
    enum Class : std::uint32_t { other, attached, prepended, control, consonant, linker };

    bool replace(std::u32string_view chunk, Made& out) const {
        if (!first_[chunk[0]]) return false;
        std::u32string prefix;
        for (const char32_t code : chunk) {
            prefix += code;
            const auto found = map_.find(prefix);
            if (found == map_.end()) continue;
            out.put(found->second, chunk.size());
            return true;
        }
        return false;
    }
    // Whether the grapheme that began at start goes on at i (Unicode Annex 29); flags and emoji sequences are left out:
    // they have 6 bytes with or without what follows, or start with a sign that no map replaces.
    bool joined(const std::u32string& text, std::size_t start, std::size_t i) const {
        const char32_t before = text[i - 1], code = text[i];
        if (before == '\r' && code == '\n') return true;
        const std::uint32_t left = classes_[before], right = classes_[code];
        if (left == control || right == control) return false;
        if (right == attached || right == linker || left == prepended) return true;
        if (hangul(before, code)) return true;
        return right == consonant && conjunct(text, start, i);
    }
    static bool hangul(char32_t a, char32_t b) {
        const auto lead = [](char32_t c) { return (c >= 0x1100 && c < 0x1160) || (c >= 0xA960 && c < 0xA97D); };
        const auto vowel = [](char32_t c) { return (c >= 0x1160 && c < 0x11A8) || (c >= 0xD7B0 && c < 0xD7C7); };
        const auto trail = [](char32_t c) { return (c >= 0x11A8 && c < 0x1200) || (c >= 0xD7CB && c < 0xD7FC); };
        const bool syllable_a = a >= 0xAC00 && a < 0xD7A4, syllable_b = b >= 0xAC00 && b < 0xD7A4;
        const bool open_a = syllable_a && (a - 0xAC00) % 28 == 0;
        if (lead(a)) return lead(b) || vowel(b) || syllable_b;
        if (open_a || vowel(a)) return vowel(b) || trail(b);
        return (syllable_a || trail(a)) && trail(b);
    }
    bool conjunct(const std::u32string& text, std::size_t start, std::size_t i) const {
        bool linked = false;
        while (i-- > start) {
            const std::uint32_t name = classes_[text[i]];
            if (name == consonant) return linked;
            if (name != attached && name != linker) return false;
            linked = linked || name == linker;
        }
        return false;
    }

    std::unordered_map<std::u32string, std::u32string> map_;
    Codes first_, classes_;
};

class Replace : public Step {
public:
    explicit Replace(Reader& in) : from_(in.codes(1024)), to_(in.codes(1024)) {
        if (from_.empty()) Reader::damaged();
    }
    void apply(Text& text, std::size_t most) const override {
        Copy out(text);
        std::size_t at = 0;
        for (std::size_t found; (found = text.codes.find(from_, at)) != std::u32string::npos; at = found + from_.size()) {
            out.keep(at, found);
            out.put(to_, found + from_.size() - 1);
            bound(out.codes, most);
        }
        out.keep(at, text.codes.size());
        out.finish();
    }
    bool spans(char32_t code) const override { return from_.size() > 1 && from_.find(code) != std::u32string::npos; }

private:
    std::u32string from_, to_;
};

// Runs of some code points, and single ones of others, become one text.
class Collapse : public Step {
public:
    explicit Collapse(Reader& in) : least_(in.u32()) {
        set_.set_all(in.codes(), 1);
        single_.set_all(in.codes(), 1);
        to_ = in.codes();
    }
    void apply(Text& given, std::size_t most) const override {
        const std::u32string& text = given.codes;
        Copy out(given);
        for (std::size_t i = 0; i < text.size();) {
            std::size_t end = i;
            while (end < text.size() && set_[text[end]]) ++end;
            if (end > i && end - i >= least_) {
                out.put(to_, end - 1);
                i = end;
            } else if (single_[text[i]]) {
                out.put(to_, i++);
            } else {
                out.keep(i, i + 1);
                ++i;
            }
            bound(out.codes, most);
        }
        out.finish();
    }

private:
    std::uint32_t least_;
    Codes set_, single_;
    std::u32string to_;
};

class Strip : public Step {
public:
    explicit Strip(Reader& in) : left_(in.flag()), right_(in.flag()) { space_.set_all(in.codes(), 1); }
    void apply(Text& given, std::size_t) const override {
        const std::u32string& text = given.codes;
        std::size_t start = 0, end = text.size();
        while (left_ && start < end && space_[text[start]]) ++start;
        while (right_ && end > start && space_[text[end - 1]]) --end;
        Copy out(given);
        out.keep(start, end);
        out.finish();
    }

private:
    bool left_, right_;
    Codes space_;
};

class Prepend : public Step {
public:
    explicit Prepend(Reader& in) : what_(in.codes(64)) {}
    void apply(Text& text, std::size_t) const override {
        if (text.codes.empty()) return;
        Copy out(text);
        out.put(what_, 0);
        out.keep(0, text.codes.size());
        out.finish();
    }

private:
    std::u32string what_;
};

}  // namespace

std::unique_ptr<Step> read_step(std::string_view blob) {
    Reader in(blob);
    std::unique_ptr<Step> step;
    const std::uint8_t kind = in.u8();
    switch (kind) {
        case 1: step = std::make_unique<Map>(in); break;
        case 2: step = std::make_unique<Reorder>(in); break;
        case 3: step = std::make_unique<Compose>(in); break;
        case 4: step = std::make_unique<Precompiled>(in); break;
        case 5: step = std::make_unique<Replace>(in); break;
        case 6: step = std::make_unique<Collapse>(in); break;
        case 7: step = std::make_unique<Strip>(in); break;
        case 8: step = std::make_unique<Prepend>(in); break;
        default: step = read_sanitizing(kind, in);
    }
    if (!in.done()) Reader::damaged();
    return step;
}

}  // namespace toughen::core
