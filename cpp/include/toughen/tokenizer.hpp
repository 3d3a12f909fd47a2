// Texts to token ids, exactly as the Hugging Face tokenizer that was compiled into a table makes them.
//
//     toughen::Tokenizer tokenizer("exported/tokenizer.bin");
//     auto rows = tokenizer.encode({toughen::Text::of("a very good film")});
//     // rows[0].ids goes into the model
#pragma once

#include <cstdint>
#include <memory>
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

// Bytes of a part of a text, from begin to before end; see toughen_encoding_offsets for those of the tokenizers library.
struct Offset {
    std::size_t begin = 0, end = 0;
};

// What an encoding holds of each token: its id, or what takes longer to find besides.
enum class Details { ids, all };

// One row for the model, special tokens included, not padded.
struct Encoded {
    std::size_t text = 0;  // whose row it is: a text that is read in windows has several
    std::vector<std::int64_t> ids, types;
    std::vector<std::int32_t> words;  // only of words: the number of the word at its first piece, else -1
    // Only with Details::all:
    std::vector<Offset> offsets;       // 0, 0 of special tokens
    std::vector<std::int32_t> parts;   // which part of the text: 0, of a pair's second 1, of words the word; -1 of special tokens
    std::vector<std::string> tokens;   // as the tokenizers library writes them
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
    std::vector<Encoded> encode(const std::vector<Text>& texts, Details details = Details::ids) const {
        const TextViews views(texts);
        toughen_encoding* made = nullptr;
        const auto encode = details == Details::all ? toughen_tokenizer_encode_detailed : toughen_tokenizer_encode;
        check(encode(handle_, views.data(), views.size(), &made));
        return rows(made);
    }
    // A row of each text without special tokens, uncut.
    std::vector<Encoded> whole(const std::vector<std::string>& texts, Details details = Details::ids) const {
        std::vector<toughen_string> views;
        for (const std::string& text : texts) views.push_back({text.data(), text.size()});
        toughen_encoding* made = nullptr;
        const auto encode = details == Details::all ? toughen_tokenizer_ids_detailed : toughen_tokenizer_ids;
        check(encode(handle_, views.data(), views.size(), &made));
        return rows(made);
    }
    // Ids of a text without special tokens, uncut.
    std::vector<std::int64_t> ids(std::string_view text) const {
        const toughen_string view{text.data(), text.size()};
        toughen_encoding* made = nullptr;
        check(toughen_tokenizer_ids(handle_, &view, 1, &made));
        return std::move(rows(made)[0].ids);
    }
    // The text that each row of ids stands for. Throws Error where the table cannot say, or an id is below 0.
    std::vector<std::string> decode_batch(const std::vector<std::vector<std::int64_t>>& rows, bool skip_special = true) const {
        std::vector<toughen_ids> views;
        for (const auto& row : rows) views.push_back({row.data(), row.size()});
        toughen_decoded* made = nullptr;
        check(toughen_tokenizer_decode(handle_, views.data(), views.size(), skip_special, &made));
        const std::unique_ptr<toughen_decoded, void (*)(toughen_decoded*)> owned(made, toughen_decoded_free);
        std::vector<std::string> texts;
        for (std::size_t i = 0, size = 0; i < toughen_decoded_size(made); ++i) {
            const char* text = toughen_decoded_text(made, i, &size);
            texts.emplace_back(text, size);
        }
        return texts;
    }
    std::string decode(const std::vector<std::int64_t>& ids, bool skip_special = true) const {
        return std::move(decode_batch({ids}, skip_special)[0]);
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
            if (toughen_encoding_offsets(made, row)) describe(made, row, found[row]);
        }
        return found;
    }
    static void describe(const toughen_encoding* made, std::size_t row, Encoded& found) {
        const std::size_t* offsets = toughen_encoding_offsets(made, row);
        const std::int32_t* parts = toughen_encoding_parts(made, row);
        found.parts.assign(parts, parts + found.ids.size());
        for (std::size_t i = 0, size = 0; i < found.ids.size(); ++i) {
            const char* token = toughen_encoding_token(made, row, i, &size);
            found.offsets.push_back({offsets[2 * i], offsets[2 * i + 1]});
            found.tokens.emplace_back(token, size);
        }
    }

    toughen_tokenizer* handle_ = nullptr;
    bool owned_ = true;
};

}  // namespace toughen
