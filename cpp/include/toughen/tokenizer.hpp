// Texts to token ids, exactly as the Hugging Face tokenizer that was compiled into a table makes them.
//
//     toughen::Tokenizer tokenizer("exported/tokenizer.bin");
//     auto rows = tokenizer.encode({toughen::Text::of("a very good film")});
//     // rows[0].ids goes into the model
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "toughen/error.hpp"

namespace toughen {

// A text, a pair of texts, or (where the model tags words) a list of words; all in UTF-8.
class Text {
public:
    static Text of(std::string text) { return Text(TOUGHEN_SINGLE, {std::move(text)}); }
    static Text pair(std::string first, std::string second) { return Text(TOUGHEN_PAIR, {std::move(first), std::move(second)}); }
    static Text words(std::vector<std::string> words) { return Text(TOUGHEN_WORDS, std::move(words)); }

    int kind() const { return kind_; }  // one of toughen_kind
    const std::vector<std::string>& parts() const { return parts_; }

private:
    Text(int kind, std::vector<std::string> parts) : kind_(kind), parts_(std::move(parts)) {}
    int kind_;
    std::vector<std::string> parts_;
};

// Texts as the C interface takes them; they must outlive it.
class TextViews {
public:
    explicit TextViews(const std::vector<Text>& texts) {
        std::size_t parts = 0;
        for (const Text& text : texts) parts += text.parts().size();
        strings_.reserve(parts);
        for (const Text& text : texts) {
            views_.push_back({text.kind(), strings_.data() + strings_.size(), text.parts().size()});
            for (const std::string& part : text.parts()) strings_.push_back({part.data(), part.size()});
        }
    }
    TextViews(const TextViews&) = delete;
    TextViews& operator=(const TextViews&) = delete;
    const toughen_text* data() const { return views_.data(); }
    std::size_t size() const { return views_.size(); }

private:
    std::vector<toughen_string> strings_;
    std::vector<toughen_text> views_;
};

// One row for the model, special tokens included, not padded.
struct Encoded {
    std::size_t text = 0;  // whose row it is: a text that is read in windows has several
    std::vector<std::int64_t> ids, types;
    std::vector<std::int32_t> words;  // only of words: the number of the word at its first piece, else -1
};

class Tokenizer {
public:
    // Throws Error where the file is missing, damaged, of another version, or does not repeat its own test texts.
    explicit Tokenizer(const std::string& path) { check(toughen_tokenizer_open(path.c_str(), &handle_)); }
    Tokenizer(const void* table, std::size_t size) { check(toughen_tokenizer_from_memory(table, size, &handle_)); }
    ~Tokenizer() { if (owned_) toughen_tokenizer_free(handle_); }
    Tokenizer(Tokenizer&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), owned_(other.owned_) {}
    Tokenizer& operator=(Tokenizer&& other) noexcept {
        std::swap(handle_, other.handle_);
        std::swap(owned_, other.owned_);
        return *this;
    }

    // Rows of the texts, in their order. Throws Error with the text's index where it is not UTF-8 or does not fit.
    std::vector<Encoded> encode(const std::vector<Text>& texts) const {
        const TextViews views(texts);
        toughen_encoding* made = nullptr;
        check(toughen_tokenizer_encode(handle_, views.data(), views.size(), &made));
        return rows(made);
    }
    // Ids of a text without special tokens, uncut.
    std::vector<std::int64_t> ids(std::string_view text) const {
        const toughen_string view{text.data(), text.size()};
        toughen_encoding* made = nullptr;
        check(toughen_tokenizer_ids(handle_, &view, 1, &made));
        return std::move(rows(made)[0].ids);
    }
    // The vocabulary's bytes of an id (of byte-level BPE the bytes themselves); empty where the id has none.
    std::string token(std::int64_t id) const {
        std::size_t size = 0;
        const char* found = toughen_tokenizer_token(handle_, id, &size);
        return found ? std::string(found, size) : std::string();
    }

    bool takes_words() const { return toughen_tokenizer_takes_words(handle_) != 0; }
    bool pads_left() const { return toughen_tokenizer_pads_left(handle_) != 0; }
    std::int64_t pad_id() const { return toughen_tokenizer_pad_id(handle_); }
    std::int64_t pad_type() const { return toughen_tokenizer_pad_type(handle_); }
    std::string sha256() const { return toughen_tokenizer_sha256(handle_); }  // of the table, in hexadecimal

private:
    friend class Classifier;
    explicit Tokenizer(const toughen_tokenizer* borrowed) : handle_(const_cast<toughen_tokenizer*>(borrowed)), owned_(false) {}

    static std::vector<Encoded> rows(toughen_encoding* made) {
        const std::unique_ptr<toughen_encoding, void (*)(toughen_encoding*)> owned(made, toughen_encoding_free);
        std::vector<Encoded> found(toughen_encoding_rows(made));
        for (std::size_t row = 0; row < found.size(); ++row) {
            const std::size_t size = toughen_encoding_size(made, row);
            const std::int64_t* ids = toughen_encoding_ids(made, row);
            const std::int64_t* types = toughen_encoding_types(made, row);
            const std::int32_t* words = toughen_encoding_words(made, row);
            found[row].text = toughen_encoding_text(made, row);
            found[row].ids.assign(ids, ids + size);
            found[row].types.assign(types, types + size);
            if (words) found[row].words.assign(words, words + size);
        }
        return found;
    }

    toughen_tokenizer* handle_ = nullptr;
    bool owned_ = true;
};

}  // namespace toughen
