// The C interface of the tokenizer.
#include "toughen/tokenizer.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "failure.hpp"
#include "file.hpp"
#include "table.hpp"
#include "utf8.hpp"

using toughen::core::Failure;
using toughen::core::guarded;
using toughen::core::require;

struct toughen_status {
    int code;
    std::size_t index;
    std::string message;
};

struct toughen_tokenizer {
    toughen::core::Table table;
};

struct toughen_encoding {
    std::vector<toughen::core::Row> rows;
    bool detailed = false;
};

struct toughen_decoded {
    std::vector<std::string> texts;
};

namespace {

using namespace toughen::core;

// What is said where there is no memory left to say it.
toughen_status no_memory{TOUGHEN_NO_MEMORY, TOUGHEN_NO_INDEX, "there is no memory"};

std::string_view view(const toughen_string& text) {
    require(text.data || !text.size, "a text is a null pointer");
    return text.size ? std::string_view(text.data, text.size) : std::string_view();
}

Failure misfit(const char* why) { return Failure(TOUGHEN_BAD_TEXT, why); }

// Encodes for one table: ids alone, or with all that is known of them.
class Encoder {
public:
    Encoder(const Table& table, bool detailed) : table_(table), rows_(table.rows()), teller_(detailed ? &table : nullptr) {}

    std::vector<Row> encode(const toughen_text& text) const {
        require(text.parts || !text.count, "a text is a null pointer");
        if (rows_.words != (text.kind == TOUGHEN_WORDS))
            throw misfit(rows_.words ? "the model takes lists of words, and this is a text" : "the model takes texts, and this is a list of words");
        std::vector<Row> made = rows(text);
        if (teller_)
            for (Row& row : made) measure(row, text);
        return made;
    }
    // Without special tokens, uncut.
    Row whole(const toughen_string& text) const {
        Row row;
        row.tokens = read(view(text), SIZE_MAX);
        row.types.assign(row.tokens.ids.size(), 0);
        if (!teller_) return row;
        teller_->finish(row.tokens);
        measure(row, {TOUGHEN_SINGLE, &text, 1});
        return row;
    }

private:
    std::vector<Row> rows(const toughen_text& text) const {
        if (text.kind == TOUGHEN_WORDS) return rows_.of(words(text), teller_);
        if (text.kind == TOUGHEN_PAIR) {
            require(text.count == 2, "a pair has two parts");
            if (rows_.truncation != Truncation::head) throw misfit("the model takes single texts, and this is a pair");
            return {pair(view(text.parts[0]), view(text.parts[1]))};
        }
        require(text.kind == TOUGHEN_SINGLE && text.count == 1, "a text has one part, and a kind that is known");
        return rows_.of(read(view(text.parts[0]), rows_.wanted()), teller_);
    }
    Tokens read(std::string_view text, std::size_t wanted) const {
        if (teller_) return table_.tokens(text, wanted);
        Tokens made;
        made.ids = table_.ids(text, wanted);
        return made;
    }
    Tokens words(const toughen_text& text) const {
        Tokens tokens;
        std::string spaced;
        for (std::size_t i = 0; i < text.count; ++i) {
            std::string_view word = view(text.parts[i]);
            const bool needed = tokens.ids.size() < rows_.wanted();  // what comes after that is cut off, but must be a text
            if (prefixed(i)) word = spaced.assign(" ").append(word);
            Tokens more = read(word, needed ? rows_.wanted() : 1);
            if (!needed || more.ids.empty()) continue;
            more.words.assign(more.ids.size(), -1);
            more.words[0] = static_cast<std::int32_t>(i);
            if (teller_) more.parts.assign(more.ids.size(), static_cast<std::int32_t>(i));
            tokens.append(more, 0, more.ids.size());
        }
        return tokens;
    }
    Row pair(std::string_view first, std::string_view second) const {
        const std::size_t wanted = rows_.wanted_of_pair();
        Tokens one = read(first, wanted), other = read(second, wanted);
        if (rows_.uneven_halves() && one.ids.size() >= wanted && other.ids.size() >= wanted) {
            one = read(first, SIZE_MAX);
            other = read(second, SIZE_MAX);
        }
        std::fill(other.parts.begin(), other.parts.end(), 1);
        return rows_.of_pair(one, other, teller_);
    }
    bool prefixed(std::size_t word) const { return rows_.spaced && word > 0; }

    // Makes bytes of the part as it was given of the code points of the part as it was read.
    void measure(Row& row, const toughen_text& text) const {
        const Tokens& tokens = row.tokens;
        row.offsets.reserve(2 * tokens.ids.size());
        std::vector<std::size_t> starts;
        std::int32_t measured = -1;
        for (std::size_t i = 0; i < tokens.ids.size(); ++i) {
            if (tokens.parts[i] < 0) {
                row.offsets.insert(row.offsets.end(), 2, 0);
                continue;
            }
            const auto part = static_cast<std::size_t>(tokens.parts[i]);
            if (tokens.parts[i] != measured) {
                starts.assign(text.kind == TOUGHEN_WORDS && prefixed(part) ? 1 : 0, 0);
                each_code(view(text.parts[part]), [&](char32_t, std::size_t at) { return starts.push_back(at), true; });
                starts.push_back(text.parts[part].size);
                measured = tokens.parts[i];
            }
            for (const std::uint32_t place : {tokens.spans[i].begin, tokens.spans[i].end}) row.offsets.push_back(starts[std::min<std::size_t>(place, starts.size() - 1)]);
        }
    }

    const Table& table_;
    const Rows& rows_;
    const Teller* teller_;
};

// Runs a body for each text; what it throws gets the text's index.
template <typename Body>
void each(std::size_t count, Body body) {
    for (std::size_t i = 0; i < count; ++i) {
        try {
            body(i);
        } catch (const Failure& failure) {
            throw failure.of(i);
        }
    }
}

// Encodes texts, by what makes the rows of one of them.
template <typename Text, typename RowsOf>
toughen_status* encode_each(const toughen_tokenizer* tokenizer, const Text* texts, std::size_t count, toughen_encoding** made, bool detailed, RowsOf rows_of) {
    return guarded([&] {
        require(tokenizer && (texts || !count) && made, "a tokenizer, texts or a place for the encoding is missing");
        *made = nullptr;
        auto encoding = std::make_unique<toughen_encoding>();
        encoding->detailed = detailed;
        if (detailed) tokenizer->table.require_decoding();
        const Encoder encoder(tokenizer->table, detailed);
        each(count, [&](std::size_t i) {
            for (Row& row : rows_of(encoder, texts[i])) {
                row.text = i;
                encoding->rows.push_back(std::move(row));
            }
        });
        *made = encoding.release();
    });
}

toughen_status* encode_all(const toughen_tokenizer* tokenizer, const toughen_text* texts, std::size_t count, toughen_encoding** made, bool detailed) {
    return encode_each(tokenizer, texts, count, made, detailed, [](const Encoder& encoder, const toughen_text& text) { return encoder.encode(text); });
}

toughen_status* encode_whole(const toughen_tokenizer* tokenizer, const toughen_string* texts, std::size_t count, toughen_encoding** made, bool detailed) {
    return encode_each(tokenizer, texts, count, made, detailed, [](const Encoder& encoder, const toughen_string& text) {
        std::vector<Row> rows;
        rows.push_back(encoder.whole(text));
        return rows;
    });
}

toughen_tokenizer* load(std::string_view table, const std::string& name) {
    try {
        return new toughen_tokenizer{Table(table)};
    } catch (const Failure& failure) {
        throw Failure(TOUGHEN_BAD_FILE, "cannot use " + name + ": " + failure.what() + "; export the model again");
    }
}

}  // namespace

extern "C" {

int toughen_status_code(const toughen_status* status) { return status ? status->code : TOUGHEN_OK; }
const char* toughen_status_message(const toughen_status* status) { return status ? status->message.c_str() : ""; }
size_t toughen_status_index(const toughen_status* status) { return status ? status->index : TOUGHEN_NO_INDEX; }
toughen_status* toughen_status_make(int code, size_t index, const char* message) {
    try {
        return new toughen_status{code, index, message};
    } catch (const std::bad_alloc&) {
        return &no_memory;
    }
}
void toughen_status_free(toughen_status* status) {
    if (status != &no_memory) delete status;
}

const char* toughen_version(void) { return TOUGHEN_VERSION; }

toughen_status* toughen_tokenizer_open(const char* path, toughen_tokenizer** made) {
    return guarded([&] {
        require(path && made, "a path or a place for the tokenizer is missing");
        *made = nullptr;
        *made = load(read_file(path), path);
    });
}
toughen_status* toughen_tokenizer_from_memory(const void* data, size_t size, toughen_tokenizer** made) {
    return guarded([&] {
        require((data || !size) && made, "a table or a place for the tokenizer is missing");
        *made = nullptr;
        *made = load({static_cast<const char*>(data), size}, "the table");
    });
}
void toughen_tokenizer_free(toughen_tokenizer* tokenizer) { delete tokenizer; }
int toughen_tokenizer_takes_words(const toughen_tokenizer* tokenizer) { return tokenizer->table.rows().words; }
int toughen_tokenizer_pads_left(const toughen_tokenizer* tokenizer) { return tokenizer->table.rows().pad_left; }
int64_t toughen_tokenizer_pad_id(const toughen_tokenizer* tokenizer) { return tokenizer->table.rows().pad; }
int64_t toughen_tokenizer_pad_type(const toughen_tokenizer* tokenizer) { return tokenizer->table.rows().pad_type; }
const char* toughen_tokenizer_sha256(const toughen_tokenizer* tokenizer) { return tokenizer->table.sha256().c_str(); }
const char* toughen_tokenizer_token(const toughen_tokenizer* tokenizer, int64_t id, size_t* size) {
    const std::string_view found = id < 0 || id > UINT32_MAX ? std::string_view() : tokenizer->table.word(static_cast<std::uint32_t>(id));
    if (size) *size = found.size();
    return found.data();
}

toughen_status* toughen_tokenizer_encode(const toughen_tokenizer* tokenizer, const toughen_text* texts, size_t count, toughen_encoding** made) {
    return encode_all(tokenizer, texts, count, made, false);
}
toughen_status* toughen_tokenizer_encode_detailed(const toughen_tokenizer* tokenizer, const toughen_text* texts, size_t count, toughen_encoding** made) {
    return encode_all(tokenizer, texts, count, made, true);
}
toughen_status* toughen_tokenizer_ids(const toughen_tokenizer* tokenizer, const toughen_string* texts, size_t count, toughen_encoding** made) {
    return encode_whole(tokenizer, texts, count, made, false);
}
toughen_status* toughen_tokenizer_ids_detailed(const toughen_tokenizer* tokenizer, const toughen_string* texts, size_t count, toughen_encoding** made) {
    return encode_whole(tokenizer, texts, count, made, true);
}
void toughen_encoding_free(toughen_encoding* encoding) { delete encoding; }
size_t toughen_encoding_rows(const toughen_encoding* encoding) { return encoding->rows.size(); }
size_t toughen_encoding_size(const toughen_encoding* encoding, size_t row) { return encoding->rows[row].tokens.ids.size(); }
size_t toughen_encoding_text(const toughen_encoding* encoding, size_t row) { return encoding->rows[row].text; }
const int64_t* toughen_encoding_ids(const toughen_encoding* encoding, size_t row) { return encoding->rows[row].tokens.ids.data(); }
const int64_t* toughen_encoding_types(const toughen_encoding* encoding, size_t row) { return encoding->rows[row].types.data(); }
const int32_t* toughen_encoding_words(const toughen_encoding* encoding, size_t row) {
    const auto& words = encoding->rows[row].tokens.words;
    return words.empty() ? nullptr : words.data();
}
const size_t* toughen_encoding_offsets(const toughen_encoding* encoding, size_t row) {
    return encoding->detailed ? encoding->rows[row].offsets.data() : nullptr;
}
const int32_t* toughen_encoding_parts(const toughen_encoding* encoding, size_t row) {
    return encoding->detailed ? encoding->rows[row].tokens.parts.data() : nullptr;
}
const char* toughen_encoding_token(const toughen_encoding* encoding, size_t row, size_t place, size_t* size) {
    if (size) *size = 0;
    if (!encoding->detailed) return nullptr;
    const std::string& found = encoding->rows[row].tokens.strings[place];
    if (size) *size = found.size();
    return found.c_str();
}

toughen_status* toughen_tokenizer_decode(const toughen_tokenizer* tokenizer, const toughen_ids* rows, size_t count, int skip_special, toughen_decoded** made) {
    return guarded([&] {
        require(tokenizer && (rows || !count) && made, "a tokenizer, ids or a place for the texts is missing");
        *made = nullptr;
        tokenizer->table.require_decoding();
        auto decoded = std::make_unique<toughen_decoded>();
        each(count, [&](std::size_t i) {
            require(rows[i].data || !rows[i].size, "ids are a null pointer");
            decoded->texts.push_back(tokenizer->table.decode(rows[i].data, rows[i].size, skip_special != 0));
        });
        *made = decoded.release();
    });
}
size_t toughen_decoded_size(const toughen_decoded* decoded) { return decoded->texts.size(); }
const char* toughen_decoded_text(const toughen_decoded* decoded, size_t text, size_t* size) {
    if (size) *size = decoded->texts[text].size();
    return decoded->texts[text].c_str();
}
void toughen_decoded_free(toughen_decoded* decoded) { delete decoded; }

}  // extern "C"
