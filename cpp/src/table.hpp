// A tokenizer table (cpp/tokenizer-table.md) in memory: texts to ids.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "added.hpp"
#include "decoding.hpp"
#include "model.hpp"
#include "normalise.hpp"
#include "rows.hpp"
#include "split.hpp"

namespace toughen::core {

class Table : public Teller {
public:
    // Throws Failure where the file is no table, damaged, of another version, or does not repeat its own test texts.
    explicit Table(std::string_view file);

    const Rows& rows() const { return rows_; }
    const std::string& sha256() const { return sha256_; }
    // Ids of a text without special tokens: all of them, or as many as are wanted and perhaps some more.
    Ids ids(std::string_view text, std::size_t wanted = SIZE_MAX) const;
    // The same with spans, parts (0) and strings, not trimmed yet. Throws Failure where the table does not have what that takes.
    Tokens tokens(std::string_view text, std::size_t wanted = SIZE_MAX) const;
    // Throws Failure where the table has ids alone: no tokens, no decoding.
    void require_decoding() const;
    std::string_view word(std::uint32_t id) const;
    // Throws Failure where the tokenizer's decoder is not known.
    std::string decode(const std::int64_t* ids, std::size_t count, bool skip_special) const;

    void finish(Tokens& tokens) const override { decoding_.trim(tokens); }
    std::string special(std::uint32_t id) const override { return decoding_.string(*model_, id); }

private:
    struct Found {
        Tokens tokens;
        std::size_t wanted;
        bool traced;
        bool full() const { return tokens.ids.size() >= wanted; }
    };

    void read(Reader in);
    void read_added(Reader& in);
    void test(Reader& in) const;
    void test_decoding(Reader& in, std::string_view text) const;

    Tokens find(std::string_view text, std::size_t wanted, bool traced) const;
    void read_all(std::string_view text, Found& found) const;
    template <typename Between>
    void find_added(View text, const AddedTokens& tokens, Found& found, Between between) const;
    Text normal(View text) const;
    void pieces(View text, bool first, std::size_t splitter, Found& found) const;
    void tokenise(View piece, Found& found) const;

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
    std::uint32_t version_ = 0;
    Decoding decoding_;
    std::string sha256_;
};

}  // namespace toughen::core
