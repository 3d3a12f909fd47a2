#include "model.hpp"

#include <algorithm>
#include <cmath>
#include <queue>
#include <string>

#include "bytes.hpp"
#include "vocabulary.hpp"

namespace toughen::core {
namespace {

bool begins(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

// The longest piece of the vocabulary again and again, with a prefix inside of words; else the whole is unknown.
class WordPiece : public Model {
public:
    explicit WordPiece(Reader& in) : prefix_(in.blob()), unknown_(in.u32()), limit_(in.u32()), vocabulary_(in) {
        if (limit_ > longest_word || prefix_.size() > 64) Reader::damaged();
    }

    void tokenise(std::string_view piece, Ids& ids, Ranges* ranges) const override {
        const std::size_t before = ids.size(), ranges_before = ranges ? ranges->size() : 0;
        if (fits(piece) && pieces(piece, ids, ranges)) return;
        ids.resize(before);
        ids.push_back(unknown_);
        if (!ranges) return;
        ranges->resize(ranges_before);
        ranges->push_back({0, piece.size()});
    }
    std::string_view word(std::uint32_t id) const override { return vocabulary_.word(id); }

private:
    static constexpr std::uint32_t longest_word = 10'000;  // characters; real tokenizers have 100

    bool fits(std::string_view piece) const {
        if (piece.size() <= limit_) return true;
        return static_cast<std::size_t>(std::count_if(piece.begin(), piece.end(), begins)) <= limit_;
    }
    bool pieces(std::string_view piece, Ids& ids, Ranges* ranges) const {
        std::vector<std::uint64_t> hashes;  // of the prefixes of what is left
        for (std::size_t start = 0, end; start < piece.size(); start = end) {
            const std::string_view prefix = start ? std::string_view(prefix_) : std::string_view();
            const std::string_view rest = piece.substr(start, vocabulary_.longest());
            std::uint64_t hash = Vocabulary::hash(prefix);
            hashes.clear();
            for (const char byte : rest) hashes.push_back(hash = Vocabulary::hash(byte, hash));
            std::uint32_t id = Vocabulary::none;
            for (end = start + rest.size(); end > start; --end) {
                if (end < piece.size() && !begins(piece[end])) continue;
                id = vocabulary_.find(hashes[end - start - 1], prefix, piece.substr(start, end - start));
                if (id != Vocabulary::none) break;
            }
            if (id == Vocabulary::none) return false;
            ids.push_back(id);
            if (ranges) ranges->push_back({start, end});
        }
        return true;
    }

    std::string prefix_;
    std::uint32_t unknown_, limit_;
    Vocabulary vocabulary_;
};

// Byte pairs: of all neighbours that may merge, the first of the earliest rule, until none is left.
class Bpe : public Model {
public:
    explicit Bpe(Reader& in) : whole_words_(in.flag()), vocabulary_(in), merges_(in) {
        for (int byte = 0; byte < 256; ++byte) bytes_[byte] = vocabulary_.find(std::string(1, static_cast<char>(byte)));
    }

    void tokenise(std::string_view piece, Ids& ids, Ranges* ranges) const override {
        if (whole_words_) {
            const std::uint32_t id = vocabulary_.find(piece);
            if (id != Vocabulary::none) {
                if (ranges) ranges->push_back({0, piece.size()});
                return ids.push_back(id);
            }
        }
        std::vector<std::uint32_t> symbols;
        symbols.reserve(piece.size());
        for (const char byte : piece) {
            const std::uint32_t id = bytes_[static_cast<unsigned char>(byte)];
            if (id != Vocabulary::none) symbols.push_back(id);
        }
        symbols.size() <= few ? merge_few(symbols) : merge_many(symbols);
        ids.insert(ids.end(), symbols.begin(), symbols.end());
        if (ranges) place(piece, symbols, *ranges);
    }
    std::string_view word(std::uint32_t id) const override { return vocabulary_.word(id); }
    std::string string(std::uint32_t id) const override { return signs_of(word(id)); }
    using Model::string;

private:
    static constexpr std::size_t few = 48;
    using Rule = Merges::Rule;

    // Where each symbol stands, by the lengths of their words. Bytes that the vocabulary lacks have no symbol, and the tokenizers
    // library counts on as if they were not there, in bytes of the visible signs: so is it here.
    void place(std::string_view piece, const std::vector<std::uint32_t>& symbols, Ranges& ranges) const {
        std::vector<std::size_t> owner;  // of each byte of the signs, which byte of the piece it is
        for (std::size_t i = 0; i < piece.size(); ++i) owner.insert(owner.end(), sign_size(piece[i]), i);
        std::size_t at = 0;
        for (const std::uint32_t symbol : symbols) {
            const std::size_t begin = at;
            for (const char byte : vocabulary_.word(symbol)) at += sign_size(byte);
            if (at > owner.size() || begin == at) Reader::damaged();  // a rule makes a word that is not its two halves
            ranges.push_back({owner[begin], owner[at - 1] + 1});
        }
    }
    static std::size_t sign_size(char byte) { return byte_signs()[static_cast<unsigned char>(byte)] < 0x80 ? 1 : 2; }

    // Looks at all neighbours for every merge: quicker than a queue while they are few.
    void merge_few(std::vector<std::uint32_t>& symbols) const {
        const Rule* rules[few];
        std::size_t count = symbols.size();
        const auto look = [&](std::size_t at) { rules[at] = at + 1 < count ? merges_.find(symbols[at], symbols[at + 1]) : nullptr; };
        for (std::size_t i = 0; i < count; ++i) look(i);
        while (true) {
            std::size_t best = count;
            for (std::size_t i = 0; i + 1 < count; ++i)
                if (rules[i] && (best == count || rules[i]->rank < rules[best]->rank)) best = i;
            if (best == count) break;
            symbols[best] = rules[best]->made;
            std::copy(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 2, symbols.begin() + static_cast<std::ptrdiff_t>(count),
                      symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
            std::copy(rules + best + 2, rules + count, rules + best + 1);
            --count;
            look(best);
            if (best) look(best - 1);
        }
        symbols.resize(count);
    }

    struct Candidate {
        std::uint32_t rank, at, made;
        bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
    };
    struct Chain {
        std::vector<std::uint32_t>& id;
        std::vector<std::uint32_t> before, after;  // of what is left; none at the ends
    };
    static constexpr std::uint32_t none = UINT32_MAX;  // also the id of a symbol that went into another

    const Rule* rule(const Chain& chain, std::uint32_t at) const {
        if (at == none || chain.after[at] == none) return nullptr;
        return merges_.find(chain.id[at], chain.id[chain.after[at]]);
    }
    void merge_many(std::vector<std::uint32_t>& symbols) const {
        if (symbols.size() >= none) throw Failure(TOUGHEN_BAD_TEXT, "the text has a word of more than 4 GiB");
        const auto size = static_cast<std::uint32_t>(symbols.size());
        Chain chain{symbols, std::vector<std::uint32_t>(size), std::vector<std::uint32_t>(size)};
        std::priority_queue<Candidate> queue;
        const auto propose = [&](std::uint32_t at) {
            if (const Rule* found = rule(chain, at)) queue.push({found->rank, at, found->made});
        };
        for (std::uint32_t i = 0; i < size; ++i) {
            chain.before[i] = i ? i - 1 : none;
            chain.after[i] = i + 1 < size ? i + 1 : none;
        }
        for (std::uint32_t i = 0; i < size; ++i) propose(i);
        while (!queue.empty()) {
            const Candidate top = queue.top();
            queue.pop();
            const Rule* found = symbols[top.at] != none ? rule(chain, top.at) : nullptr;
            if (!found || found->made != top.made) continue;  // what was to merge has merged otherwise
            const std::uint32_t right = chain.after[top.at];
            symbols[right] = none;
            symbols[top.at] = top.made;
            chain.after[top.at] = chain.after[right];
            if (chain.after[right] != none) chain.before[chain.after[right]] = top.at;
            propose(chain.before[top.at]);
            propose(top.at);
        }
        symbols.erase(std::remove(symbols.begin(), symbols.end(), none), symbols.end());
    }

    bool whole_words_;
    Vocabulary vocabulary_;
    Merges merges_;
    std::uint32_t bytes_[256];
};

// The likeliest division into words of the vocabulary (Viterbi); neighbouring unknown characters are one token.
class Unigram : public Model {
public:
    explicit Unigram(Reader& in) : unknown_(in.u32()), unknown_score_(in.f64()) {
        const std::uint32_t entries = in.count(16);
        words_.reserve(entries);
        for (std::uint32_t i = 0; i < entries; ++i) {
            std::string word(in.blob());
            const std::uint32_t id = in.u32();
            words_.push_back({std::move(word), id, in.f64()});
            if (!std::isfinite(words_[i].score) || (i && words_[i - 1].text >= words_[i].text)) Reader::damaged();
            by_id_.add(id);
        }
        by_id_.finish();
        if (!std::isfinite(unknown_score_)) Reader::damaged();
    }
    std::string_view word(std::uint32_t id) const override {
        const std::size_t place = by_id_.find(id);
        return place == SIZE_MAX ? std::string_view() : words_[place].text;
    }
    // Unknown ones too are what stands in the text.
    std::string string(std::uint32_t, std::string_view found) const override { return std::string(found); }
    using Model::string;

    void tokenise(std::string_view piece, Ids& ids, Ranges* ranges) const override {
        if (piece.size() >= unset) throw Failure(TOUGHEN_BAD_TEXT, "the text has a word of more than 4 GiB");
        const std::vector<Node> best = paths(piece);
        std::vector<std::string_view> found;
        bool fusing = false;
        for (std::size_t end = piece.size(); end > 0; end = best[end].start) {
            const std::size_t start = best[end].start;
            const bool unknown = best[end].id == unknown_;
            if (unknown && fusing) {
                found.back() = piece.substr(start, found.back().size() + end - start);
            } else {
                found.push_back(piece.substr(start, end - start));
            }
            fusing = unknown;
        }
        for (auto word = found.rbegin(); word != found.rend(); ++word) {
            const auto known = std::lower_bound(words_.begin(), words_.end(), *word,
                                                [](const Word& a, std::string_view b) { return a.text < b; });
            ids.push_back(known != words_.end() && known->text == *word ? known->id : unknown_);
            const auto start = static_cast<std::size_t>(word->data() - piece.data());
            if (ranges) ranges->push_back({start, start + word->size()});
        }
    }

private:
    struct Word {
        std::string text;
        std::uint32_t id;
        double score;
    };
    static constexpr std::uint32_t unset = UINT32_MAX;
    struct Node {
        double score = 0;
        std::uint32_t start = unset, id = 0;
        void offer(double candidate, std::size_t from, std::uint32_t name) {
            if (start != unset && !(candidate > score)) return;
            score = candidate;
            start = static_cast<std::uint32_t>(from);
            id = name;
        }
    };

    std::vector<Node> paths(std::string_view piece) const {
        std::vector<Node> best(piece.size() + 1);
        for (std::size_t start = 0, width; start < piece.size(); start += width) {
            width = 1;
            while (start + width < piece.size() && !begins(piece[start + width])) ++width;
            const double till_here = best[start].score;
            bool single = false;
            std::size_t low = 0, high = words_.size();
            for (std::size_t length = 1; low < high && start + length <= piece.size(); ++length) {
                narrow(low, high, length - 1, static_cast<unsigned char>(piece[start + length - 1]));
                if (low == high || words_[low].text.size() != length) continue;
                best[start + length].offer(words_[low].score + till_here, start, words_[low].id);
                single = single || length == width;
            }
            if (!single) best[start + width].offer(unknown_score_ + till_here, start, unknown_);
        }
        return best;
    }
    // Of the words [low, high), which are sorted and alike before a place, keep those with a byte at that place.
    void narrow(std::size_t& low, std::size_t& high, std::size_t place, unsigned char byte) const {
        const auto at = [place](const Word& word) { return word.text.size() > place ? static_cast<unsigned char>(word.text[place]) : -1; };
        const auto begin = words_.begin();
        const auto from = begin + static_cast<std::ptrdiff_t>(low), to = begin + static_cast<std::ptrdiff_t>(high);
        const auto first = std::lower_bound(from, to, byte, [&](const Word& word, int b) { return at(word) < b; });
        const auto last = std::upper_bound(first, to, byte, [&](int b, const Word& word) { return b < at(word); });
        low = static_cast<std::size_t>(first - begin);
        high = static_cast<std::size_t>(last - begin);
    }

    std::uint32_t unknown_;
    double unknown_score_;
    std::vector<Word> words_;
    ById by_id_;
};

}  // namespace

std::unique_ptr<Model> read_model(Reader& in) {
    switch (in.u8()) {
        case 1: return std::make_unique<WordPiece>(in);
        case 2: return std::make_unique<Bpe>(in);
        case 3: return std::make_unique<Unigram>(in);
        default: Reader::damaged();
    }
}

}  // namespace toughen::core
