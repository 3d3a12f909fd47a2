// What a table of version 2 says besides: how places are trimmed, and how ids become a text again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "codes.hpp"
#include "model.hpp"
#include "reader.hpp"
#include "rows.hpp"

namespace toughen::core {

class Decoding {
public:
    void read(Reader& in);

    // Takes white space at a token's ends out of its span, of the tokens of one text.
    void trim(Tokens& tokens) const;
    // The vocabulary's string of an id, of an added token its own; empty where there is none.
    std::string string(const Model& model, std::uint32_t id) const;
    bool known() const { return kind_ != Kind::other; }
    // Throws Failure where the tokenizer's decoder is not known here.
    std::string decode(const Model& model, const std::int64_t* ids, std::size_t count, bool skip_special) const;

private:
    enum class Kind : std::uint8_t { spaces, word_piece, byte_level, metaspace, other };

    std::string words(const std::vector<std::string>& tokens) const;
    std::string marks(const std::vector<std::string>& tokens) const;
    void trim(std::string_view token, bool first, bool prefixed, Span& span) const;

    std::vector<bool> trims_;  // one after the other; each says whether a space was put before
    Codes space_;
    Kind kind_ = Kind::spaces;
    std::string name_;    // of a decoder that is not known; else WordPiece's prefix
    bool flag_ = false;   // WordPiece: cleans up; metaspace: the mark vanishes from the first token
    std::u32string mark_;
    std::unordered_map<std::uint32_t, std::string> names_;
    std::unordered_set<std::uint32_t> special_;
};

}  // namespace toughen::core
