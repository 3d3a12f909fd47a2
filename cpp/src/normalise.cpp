#include "normalise.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "codes.hpp"

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
    void apply(std::u32string& text, std::size_t most) const override {
        std::u32string out;
        out.reserve(text.size());
        for (const char32_t code : text) {
            if (const std::uint32_t place = place_[code])
                out += made_[place - 1];
            else
                out += code;
            bound(out, most);
        }
        text.swap(out);
    }

private:
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

// Canonical ordering: runs of combining marks, stably sorted by their class.
class Reorder : public Step {
public:
    explicit Reorder(Reader& in) : ranks_(read_ranks(in)) {}
    void apply(std::u32string& text, std::size_t) const override {
        for (std::size_t i = 0; i < text.size(); ++i) {
            std::size_t end = i;
            while (end < text.size() && ranks_[text[end]]) ++end;
            if (end - i > 1)
                std::stable_sort(text.begin() + static_cast<std::ptrdiff_t>(i), text.begin() + static_cast<std::ptrdiff_t>(end),
                                 [this](char32_t a, char32_t b) { return ranks_[a] < ranks_[b]; });
            i = std::max(i, end);
        }
    }

private:
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
    void apply(std::u32string& text, std::size_t) const override {
        std::u32string out;
        std::size_t starter = std::u32string::npos;
        std::uint32_t last = 0;  // rank of the mark before, if it stayed
        for (const char32_t code : text) {
            const std::uint32_t rank = ranks_[code];
            const bool open = starter != std::u32string::npos && (out.size() == starter + 1 || (last && last < rank));
            const char32_t made = open ? compose(out[starter], code) : 0;
            if (made) {
                out[starter] = made;
                continue;
            }
            if (rank == 0) starter = out.size();
            last = rank;
            out += code;
        }
        text.swap(out);
    }

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
    void apply(std::u32string& text, std::size_t most) const override {
        std::u32string out;
        out.reserve(text.size());
        for (std::size_t i = 0; i < text.size();) {
            std::size_t end = i, bytes = 0;
            do bytes += utf8_size(text[end++]);
            while (end < text.size() && joined(text, i, end));
            if (bytes < 6 && end - i > 1 && replace(std::u32string_view(text).substr(i, end - i), out)) {
                i = end;
                continue;
            }
            for (; i < end; ++i)
                if (!replace(std::u32string_view(text).substr(i, 1), out)) out += text[i];
            bound(out, most);
        }
        text.swap(out);
    }

private:
    enum Class : std::uint32_t { other, attached, prepended, control, consonant, linker };

    bool replace(std::u32string_view chunk, std::u32string& out) const {
        if (!first_[chunk[0]]) return false;
        std::u32string prefix;
        for (const char32_t code : chunk) {
            prefix += code;
            const auto found = map_.find(prefix);
            if (found == map_.end()) continue;
            out += found->second;
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
    void apply(std::u32string& text, std::size_t most) const override {
        std::u32string out;
        std::size_t at = 0;
        for (std::size_t found; (found = text.find(from_, at)) != std::u32string::npos; at = found + from_.size()) {
            out.append(text, at, found - at).append(to_);
            bound(out, most);
        }
        text = out.append(text, at, std::u32string::npos);
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
    void apply(std::u32string& text, std::size_t most) const override {
        std::u32string out;
        for (std::size_t i = 0; i < text.size();) {
            std::size_t end = i;
            while (end < text.size() && set_[text[end]]) ++end;
            if (end > i && end - i >= least_) {
                out += to_;
                i = end;
            } else if (single_[text[i]]) {
                out += to_;
                ++i;
            } else {
                out += text[i++];
            }
            bound(out, most);
        }
        text.swap(out);
    }

private:
    std::uint32_t least_;
    Codes set_, single_;
    std::u32string to_;
};

class Strip : public Step {
public:
    explicit Strip(Reader& in) : left_(in.flag()), right_(in.flag()) { space_.set_all(in.codes(), 1); }
    void apply(std::u32string& text, std::size_t) const override {
        std::size_t start = 0, end = text.size();
        while (left_ && start < end && space_[text[start]]) ++start;
        while (right_ && end > start && space_[text[end - 1]]) --end;
        text = text.substr(start, end - start);
    }

private:
    bool left_, right_;
    Codes space_;
};

class Prepend : public Step {
public:
    explicit Prepend(Reader& in) : what_(in.codes(64)) {}
    void apply(std::u32string& text, std::size_t) const override {
        if (!text.empty()) text = what_ + text;
    }

private:
    std::u32string what_;
};

}  // namespace

std::unique_ptr<Step> read_step(std::string_view blob) {
    Reader in(blob);
    std::unique_ptr<Step> step;
    switch (in.u8()) {
        case 1: step = std::make_unique<Map>(in); break;
        case 2: step = std::make_unique<Reorder>(in); break;
        case 3: step = std::make_unique<Compose>(in); break;
        case 4: step = std::make_unique<Precompiled>(in); break;
        case 5: step = std::make_unique<Replace>(in); break;
        case 6: step = std::make_unique<Collapse>(in); break;
        case 7: step = std::make_unique<Strip>(in); break;
        case 8: step = std::make_unique<Prepend>(in); break;
        default: Reader::damaged();
    }
    if (!in.done()) Reader::damaged();
    return step;
}

}  // namespace toughen::core
