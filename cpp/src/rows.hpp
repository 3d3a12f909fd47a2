// Which of a text's tokens are kept, and the special tokens around them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model.hpp"
#include "reader.hpp"
#include "text.hpp"

namespace toughen::core {

enum class Truncation { head, tail, head_tail, windows };

// Tokens, one after the other; a column that was not asked for is empty.
struct Tokens {
    Ids ids;
    std::vector<std::int32_t> words;   // only of words: the number of the word at its first piece, else -1
    std::vector<Span> spans;           // in code points of the part
    std::vector<std::int32_t> parts;   // which part of the text a token is of; -1 of special ones
    std::vector<std::string> strings;

    void append(const Tokens& from, std::size_t start, std::size_t end) {
        const auto copy = [&](auto& to, const auto& source) {
            if (!source.empty()) to.insert(to.end(), source.begin() + static_cast<std::ptrdiff_t>(start), source.begin() + static_cast<std::ptrdiff_t>(end));
        };
        copy(ids, from.ids);
        copy(words, from.words);
        copy(spans, from.spans);
        copy(parts, from.parts);
        copy(strings, from.strings);
    }
};

struct Row {
    std::size_t text = 0;
    Tokens tokens;
    Ids types;
    std::vector<std::size_t> offsets;  // only where asked for: [2 * tokens], bytes of the part
};

// What is told of a row's tokens besides their ids.
class Teller {
public:
    virtual ~Teller() = default;
    // Finishes the tokens of one part, cut already.
    virtual void finish(Tokens& tokens) const = 0;
    virtual std::string special(std::uint32_t id) const = 0;
};

// The settings by which texts become rows, at the head of a table; the templates stand at its end.
class Rows {
public:
    bool cut_left = false, words = false, spaced = false, pad_left = false, types = false;
    Truncation truncation = Truncation::head;
    std::uint32_t pad = 0, pad_type = 0;

    void read_settings(Reader& in);
    void read_templates(Reader& in);

    // How many ids of a text decide its row, however long the text is; all of them where SIZE_MAX.
    std::size_t wanted() const;
    // The same of each text of a pair; where both have so many, uneven halves also ask which has more.
    std::size_t wanted_of_pair() const { return cut_left ? SIZE_MAX : room(pair_) + 1; }
    bool uneven_halves() const { return room(pair_) % 2 == 1; }
    // The teller is null where ids are all that is wanted.
    std::vector<Row> of(const Tokens& tokens, const Teller* teller) const;
    Row of_pair(const Tokens& first, const Tokens& second, const Teller* teller) const;

private:
    struct Part {
        std::uint32_t what, id, type;  // 0 a special token, 1 the text, 2 the second text
    };
    using Template = std::vector<Part>;
    // A part of a text's tokens, and another one behind it.
    struct Kept {
        std::size_t start, end, start2, end2;
    };

    static Template read_template(Reader& in, bool pair);
    std::size_t room(const Template& form) const;
    Tokens keep(const Tokens& tokens, const Kept& kept, const Teller* teller) const;
    Row fill(const Template& form, const Tokens& first, const Tokens& second, const Teller* teller) const;

    std::uint32_t max_length_ = 0, overlap_ = 0;
    Template single_, pair_;
};

}  // namespace toughen::core
