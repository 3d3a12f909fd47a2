// The C interface of the tokenizer.
#include "toughen/tokenizer.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "failure.hpp"
#include "file.hpp"
#include "table.hpp"

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

std::vector<Row> encode_words(const Table& table, const toughen_text& text) {
    const Rows& rows = table.rows();
    Ids ids;
    std::vector<std::int32_t> numbers;
    std::string spaced;
    for (std::size_t i = 0; i < text.count; ++i) {
        std::string_view word = view(text.parts[i]);
        const bool read = ids.size() < rows.wanted();  // what comes after that is cut off, but must be a text
        if (i && rows.spaced) word = spaced.assign(" ").append(word);
        const Ids more = table.ids(word, read ? rows.wanted() : 1);
        if (!read) continue;
        ids.insert(ids.end(), more.begin(), more.end());
        numbers.resize(ids.size(), -1);
        if (!more.empty()) numbers[ids.size() - more.size()] = static_cast<std::int32_t>(i);
    }
    return rows.of(ids, numbers);
}

Row encode_pair(const Table& table, std::string_view first, std::string_view second) {
    const Rows& rows = table.rows();
    const std::size_t wanted = rows.wanted_of_pair();
    Ids one = table.ids(first, wanted), other = table.ids(second, wanted);
    if (rows.uneven_halves() && one.size() >= wanted && other.size() >= wanted) return rows.of_pair(table.ids(first), table.ids(second));
    return rows.of_pair(std::move(one), std::move(other));
}

std::vector<Row> encode(const Table& table, const toughen_text& text) {
    const Rows& rows = table.rows();
    require(text.parts || !text.count, "a text is a null pointer");
    if (rows.words != (text.kind == TOUGHEN_WORDS))
        throw misfit(rows.words ? "the model takes lists of words, and this is a text" : "the model takes texts, and this is a list of words");
    if (text.kind == TOUGHEN_WORDS) return encode_words(table, text);
    if (text.kind == TOUGHEN_PAIR) {
        require(text.count == 2, "a pair has two parts");
        if (rows.truncation != Truncation::head) throw misfit("the model takes single texts, and this is a pair");
        return {encode_pair(table, view(text.parts[0]), view(text.parts[1]))};
    }
    require(text.kind == TOUGHEN_SINGLE && text.count == 1, "a text has one part, and a kind that is known");
    return rows.of(table.ids(view(text.parts[0]), rows.wanted()), {});
}

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
    return guarded([&] {
        require(tokenizer && (texts || !count) && made, "a tokenizer, texts or a place for the encoding is missing");
        *made = nullptr;
        auto encoding = std::make_unique<toughen_encoding>();
        each(count, [&](std::size_t i) {
            for (Row& row : encode(tokenizer->table, texts[i])) {
                row.text = i;
                encoding->rows.push_back(std::move(row));
            }
        });
        *made = encoding.release();
    });
}
toughen_status* toughen_tokenizer_ids(const toughen_tokenizer* tokenizer, const toughen_string* texts, size_t count, toughen_encoding** made) {
    return guarded([&] {
        require(tokenizer && (texts || !count) && made, "a tokenizer, texts or a place for the encoding is missing");
        *made = nullptr;
        auto encoding = std::make_unique<toughen_encoding>();
        each(count, [&](std::size_t i) {
            Row row;
            row.text = i;
            row.ids = tokenizer->table.ids(view(texts[i]));
            row.types.assign(row.ids.size(), 0);
            encoding->rows.push_back(std::move(row));
        });
        *made = encoding.release();
    });
}
void toughen_encoding_free(toughen_encoding* encoding) { delete encoding; }
size_t toughen_encoding_rows(const toughen_encoding* encoding) { return encoding->rows.size(); }
size_t toughen_encoding_size(const toughen_encoding* encoding, size_t row) { return encoding->rows[row].ids.size(); }
size_t toughen_encoding_text(const toughen_encoding* encoding, size_t row) { return encoding->rows[row].text; }
const int64_t* toughen_encoding_ids(const toughen_encoding* encoding, size_t row) { return encoding->rows[row].ids.data(); }
const int64_t* toughen_encoding_types(const toughen_encoding* encoding, size_t row) { return encoding->rows[row].types.data(); }
const int32_t* toughen_encoding_words(const toughen_encoding* encoding, size_t row) {
    const auto& words = encoding->rows[row].words;
    return words.empty() ? nullptr : words.data();
}

}  // extern "C"
