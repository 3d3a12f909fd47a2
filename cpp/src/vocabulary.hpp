// The words of a vocabulary with their ids, and the rules by which ids merge: hash tables that are asked without copies.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "reader.hpp"

namespace toughen::core {

// At least twice as many places as entries, a power of two.
inline std::size_t places(std::size_t entries) {
    std::size_t made = 16;
    while (made < 2 * entries) made *= 2;
    return made;
}

// Which entry has an id, of equal ones the first.
class ById {
public:
    void add(std::uint32_t id) { entries_.push_back({id, static_cast<std::uint32_t>(entries_.size())}); }
    void finish() {
        std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
    }
    // After finish; SIZE_MAX where none has it.
    std::size_t find(std::uint32_t id) const {
        const auto found = std::lower_bound(entries_.begin(), entries_.end(), id, [](const Entry& entry, std::uint32_t wanted) { return entry.id < wanted; });
        return found == entries_.end() || found->id != id ? SIZE_MAX : found->place;
    }

private:
    struct Entry {
        std::uint32_t id, place;
    };
    std::vector<Entry> entries_;
};

class Vocabulary {
public:
    static constexpr std::uint32_t none = UINT32_MAX;

    explicit Vocabulary(Reader& in) {
        const std::uint32_t entries = in.count(8);
        words_.reserve(entries);
        places_.assign(places(entries), 0);
        for (std::uint32_t i = 0; i < entries; ++i) {
            const std::string_view word = in.blob();
            const std::uint32_t id = in.u32();
            const std::uint64_t sum = hash(word);
            if (bytes_.size() + word.size() > UINT32_MAX || find(sum, {}, word) != none) Reader::damaged();
            words_.push_back({static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(word.size()), id});
            by_id_.add(id);
            bytes_ += word;
            if (word.size() > longest_) longest_ = word.size();
            std::size_t at = start(sum);
            while (places_[at]) at = (at + 1) & (places_.size() - 1);
            places_[at] = i + 1;
        }
        by_id_.finish();
    }

    // FNV-1a, so that the hash of a longer word goes on from that of its beginning.
    static std::uint64_t hash(char byte, std::uint64_t before) { return (before ^ static_cast<unsigned char>(byte)) * 0x100000001b3u; }
    static std::uint64_t hash(std::string_view word) {
        std::uint64_t made = 0xcbf29ce484222325u;
        for (const char byte : word) made = hash(byte, made);
        return made;
    }

    std::uint32_t find(std::string_view word) const { return find(hash(word), {}, word); }
    // The id of a prefix and a word together, whose hash is given.
    std::uint32_t find(std::uint64_t hash, std::string_view prefix, std::string_view word) const {
        for (std::size_t at = start(hash); places_[at]; at = (at + 1) & (places_.size() - 1)) {
            const Word& known = words_[places_[at] - 1];
            if (known.size == prefix.size() + word.size() && same(known, prefix, word)) return known.id;
        }
        return none;
    }
    std::size_t longest() const { return longest_; }  // bytes
    std::string_view word(std::uint32_t id) const {
        const std::size_t place = by_id_.find(id);
        return place == SIZE_MAX ? std::string_view() : text(words_[place]);
    }

private:
    struct Word {
        std::uint32_t start, size, id;
    };
    std::size_t start(std::uint64_t hash) const { return (hash ^ hash >> 29) & (places_.size() - 1); }
    std::string_view text(const Word& word) const { return std::string_view(bytes_).substr(word.start, word.size); }
    bool same(const Word& known, std::string_view prefix, std::string_view word) const {
        const char* bytes = bytes_.data() + known.start;
        return std::memcmp(bytes + prefix.size(), word.data(), word.size()) == 0 &&
               (prefix.empty() || std::memcmp(bytes, prefix.data(), prefix.size()) == 0);
    }

    std::string bytes_;
    std::vector<Word> words_;
    ById by_id_;
    std::vector<std::uint32_t> places_;  // of words, from 1
    std::size_t longest_ = 0;
};

class Merges {
public:
    struct Rule {
        std::uint32_t rank, made;
    };

    explicit Merges(Reader& in) {
        const std::uint32_t entries = in.count(12);
        rules_.assign(places(entries), {});
        for (std::uint32_t rank = 0; rank < entries; ++rank) {
            const std::uint32_t left = in.u32(), right = in.u32();
            Entry& entry = rules_[find_place(key(left, right))];
            entry = {key(left, right), {rank, in.u32()}, true};
        }
    }
    const Rule* find(std::uint32_t left, std::uint32_t right) const {
        const Entry& entry = rules_[find_place(key(left, right))];
        return entry.used ? &entry.rule : nullptr;
    }

private:
    struct Entry {
        std::uint64_t key = 0;
        Rule rule{};
        bool used = false;
    };
    static std::uint64_t key(std::uint32_t a, std::uint32_t b) { return static_cast<std::uint64_t>(a) << 32 | b; }
    std::size_t find_place(std::uint64_t key) const {
        const std::uint64_t mixed = key * 0x9E3779B97F4A7C15u;
        std::size_t at = (mixed ^ mixed >> 32) & (rules_.size() - 1);
        while (rules_[at].used && rules_[at].key != key) at = (at + 1) & (rules_.size() - 1);
        return at;
    }
    std::vector<Entry> rules_;
};

}  // namespace toughen::core
