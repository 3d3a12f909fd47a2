// A tokenizer table (cpp/tokenizer-table.md) in memory: texts to ids.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "added.hpp"
#include "model.hpp"
#include "normalise.hpp"
#include "rows.hpp"
#include "split.hpp"

namespace toughen::core {

class Table {
public:
    // Throws Failure where the file is no table, damaged, of another version, or does not repeat its own test texts.
    explicit Table(std::string_view file);

    const Rows& rows() const { return rows_; }
    const std::string& sha256() const { return sha256_; }
    // Ids of a text without special tokens: all of them, or as many as are wanted and perhaps some more.
    Ids ids(std::string_view text, std::size_t wanted = SIZE_MAX) const;
    std::string_view word(std::uint32_t id) const;

private:
    struct Found {
        Ids ids;
        std::size_t wanted;
        bool full() const { return ids.size() >= wanted; }
    };

    void read(Reader in);
    void read_added(Reader& in);
    void test(Reader& in) const;

    void read_all(std::string_view text, Found& found) const;
    template <typename Between>
    void find_added(std::u32string_view text, const AddedTokens& tokens, Found& found, Between between) const;
    std::u32string normal(std::u32string_view text) const;
    void pieces(std::u32string_view text, bool first, std::size_t splitter, Found& found) const;

    void find_cuts();
    bool parts(std::u32string_view text, std::size_t first) const;
    bool crossed(char32_t code) const;
    std::size_t cut(std::string_view text, std::size_t from) const;

    Rows rows_;
    AddedTokens given_, normalised_;
    Codes space_;
    std::vector<std::unique_ptr<Step>> steps_;
    std::vector<std::unique_ptr<Splitter>> splitters_;
    std::unique_ptr<Model> model_;
    std::u32string spaces_;  // white space at which a text can be cut without changing the ids before
    bool ideographs_ = false;  // whether it can be cut between two ideographs
    std::string sha256_;
};

}  // namespace toughen::core
