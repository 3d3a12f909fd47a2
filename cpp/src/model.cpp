#include "model.hpp"

#include <algorithm>
#include <queue>
#include <string>
#include <unordered_map>

namespace toughen {
namespace {

bool begins(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

// Words of a vocabulary with their ids; the words' bytes are one string.
class Vocabulary {
public:
    static constexpr std::uint32_t none = UINT32_MAX;

    explicit Vocabulary(Reader& in) {
        const std::uint32_t entries = in.count(8);
        words_.reserve(entries);
        for (std::uint32_t i = 0; i < entries; ++i) {
            std::string word(in.blob());
            longest_ = std::max(longest_, word.size());
            words_[std::move(word)] = in.u32();
        }
    }
    std::uint32_t find(const std::string& word) const {
        const auto found = words_.find(word);
        return found == words_.end() ? none : found->second;
    }
    std::size_t longest() const { return longest_; }

private:
    std::unordered_map<std::string, std::uint32_t> words_;
    std::size_t longest_ = 0;
};

// The longest piece of the vocabulary again and again, with a prefix inside of words; else the whole is unknown.
class WordPiece : public Model {
public:
    explicit WordPiece(Reader& in) : prefix_(in.blob()), unknown_(in.u32()), limit_(in.u32()), vocabulary_(in) {}

    void tokenise(std::string_view piece, std::vector<std::int64_t>& ids) const override {
        const auto characters = std::count_if(piece.begin(), piece.end(), begins);
        const std::size_t before = ids.size();
        if (static_cast<std::size_t>(characters) <= limit_ && pieces(piece, ids)) return;
        ids.resize(before);
        ids.push_back(unknown_);
    }

private:
    bool pieces(std::string_view piece, std::vector<std::int64_t>& ids) const {
        std::string word;
        for (std::size_t start = 0, end; start < piece.size(); start = end) {
            end = std::min(piece.size(), start + vocabulary_.longest());
            std::uint32_t id = Vocabulary::none;
            for (; end > start; --end) {
                if (end < piece.size() && !begins(piece[end])) continue;
                word.assign(start ? prefix_ : "").append(piece.substr(start, end - start));
                if ((id = vocabulary_.find(word)) != Vocabulary::none) break;
            }
            if (id == Vocabulary::none) return false;
            ids.push_back(id);
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
    explicit Bpe(Reader& in) : whole_words_(in.flag()), vocabulary_(in) {
        for (int byte = 0; byte < 256; ++byte) bytes_[byte] = vocabulary_.find(std::string(1, static_cast<char>(byte)));
        const std::uint32_t entries = in.count(12);
        merges_.reserve(entries);
        for (std::uint32_t rank = 0; rank < entries; ++rank) {
            const std::uint32_t left = in.u32(), right = in.u32();
            merges_[key(left, right)] = {rank, in.u32()};
        }
    }

    void tokenise(std::string_view piece, std::vector<std::int64_t>& ids) const override {
        if (whole_words_) {
            const std::uint32_t id = vocabulary_.find(std::string(piece));
            if (id != Vocabulary::none) return ids.push_back(id);
        }
        std::vector<Symbol> symbols;
        for (const char byte : piece) {
            const std::uint32_t id = bytes_[static_cast<unsigned char>(byte)];
            if (id != Vocabulary::none) symbols.push_back({id, symbols.size() - 1, symbols.size() + 1, true});
        }
        merge(symbols);
        for (const Symbol& symbol : symbols)
            if (symbol.alive) ids.push_back(symbol.id);
    }

private:
    struct Rule {
        std::uint32_t rank, made;
    };
    struct Symbol {
        std::uint32_t id;
        std::size_t before, after;
        bool alive;
    };
    struct Candidate {
        std::uint32_t rank;
        std::size_t at;
        std::uint32_t made;
        bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
    };
    using Queue = std::priority_queue<Candidate>;

    static std::uint64_t key(std::uint32_t a, std::uint32_t b) { return static_cast<std::uint64_t>(a) << 32 | b; }

    const Rule* rule(const std::vector<Symbol>& symbols, std::size_t at) const {
        if (at >= symbols.size() || symbols[at].after >= symbols.size()) return nullptr;
        const auto found = merges_.find(key(symbols[at].id, symbols[symbols[at].after].id));
        return found == merges_.end() ? nullptr : &found->second;
    }
    void propose(const std::vector<Symbol>& symbols, std::size_t at, Queue& queue) const {
        if (const Rule* found = rule(symbols, at)) queue.push({found->rank, at, found->made});
    }
    void merge(std::vector<Symbol>& symbols) const {
        Queue queue;
        for (std::size_t i = 0; i < symbols.size(); ++i) propose(symbols, i, queue);
        while (!queue.empty()) {
            const Candidate top = queue.top();
            queue.pop();
            const Rule* found = symbols[top.at].alive ? rule(symbols, top.at) : nullptr;
            if (!found || found->made != top.made) continue;  // what was to merge has merged otherwise
            Symbol& left = symbols[top.at];
            Symbol& right = symbols[left.after];
            right.alive = false;
            left.id = top.made;
            left.after = right.after;
            if (left.after < symbols.size()) symbols[left.after].before = top.at;
            propose(symbols, left.before, queue);
            propose(symbols, top.at, queue);
        }
    }

    bool whole_words_;
    Vocabulary vocabulary_;
    std::uint32_t bytes_[256];
    std::unordered_map<std::uint64_t, Rule> merges_;
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
            if (i && words_[i - 1].text >= words_[i].text) Reader::damaged();
        }
    }

    void tokenise(std::string_view piece, std::vector<std::int64_t>& ids) const override {
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
        }
    }

private:
    struct Word {
        std::string text;
        std::uint32_t id;
        double score;
    };
    struct Node {
        double score = 0;
        std::size_t start = std::string::npos;
        std::uint32_t id = 0;
        void offer(double candidate, std::size_t from, std::uint32_t name) {
            if (start != std::string::npos && !(candidate > score)) return;
            score = candidate;
            start = from;
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

}  // namespace toughen
