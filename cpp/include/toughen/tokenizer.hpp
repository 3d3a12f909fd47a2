// Texts to token ids, exactly as the Hugging Face tokenizer that was compiled into tokenizer.bin makes them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace toughen {

// One row for the model, special tokens included, not padded.
struct Encoded {
    std::vector<std::int64_t> ids, types;
    std::vector<int> words;  // only for words: the number of the word at its first piece, else -1
};

// A text, a pair of texts, or (where the model tags words) a list of words; all in UTF-8.
struct Text {
    std::string first;
    std::string second;
    bool pair = false;
    std::vector<std::string> words;
};

class Tokenizer {
public:
    // Throws Error where the file is missing, damaged, of another version, or does not repeat its own test texts.
    explicit Tokenizer(const std::string& path);
    ~Tokenizer();
    Tokenizer(Tokenizer&&) noexcept;

    // Rows of a text: one, or with windows one or more. Throws Error where the text is not UTF-8.
    std::vector<Encoded> encode(const Text& text) const;
    // Ids of a text without special tokens, uncut.
    std::vector<std::int64_t> ids(std::string_view text) const;

    bool takes_words() const;
    bool pads_left() const;
    std::int64_t pad_id() const;
    std::int64_t pad_type() const;

private:
    struct Table;
    std::unique_ptr<Table> table_;
};

}  // namespace toughen
