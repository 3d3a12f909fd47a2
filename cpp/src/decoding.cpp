#include "decoding.hpp"

#include <algorithm>
#include <utility>

#include "bytes.hpp"
#include "utf8.hpp"

namespace toughen::core {
namespace {

constexpr std::uint32_t most_trims = 8, longest_prefix = 64;
constexpr char32_t space_sign = 0x120;  // of byte-level vocabularies

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    std::string made;
    std::size_t at = 0;
    for (std::size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) made.append(text, at, found - at).append(to);
    text = made.append(text, at, std::string::npos);
}

// WordPiece's: of each token with the space before it, not of the whole text.
void clean_up(std::string& token) {
    static constexpr std::string_view changes[][2] = {{" .", "."},    {" ?", "?"},     {" !", "!"},          {" ,", ","},   {" ' ", "'"},  {" n't", "n't"},
                                                      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : changes) replace_all(token, from, to);
}

// How many bytes from a place are UTF-8 or the beginning of it: a whole code point (good), or what one sign of replacement stands for.
std::pair<std::size_t, bool> sequence(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) -> unsigned { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0; };
    const unsigned lead = byte(0);
    if (lead < 0x80) return {1, true};
    const std::size_t size = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (!size) return {1, false};
    const unsigned least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80, most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(1) < least || byte(1) > most) return {1, false};
    for (std::size_t i = 2; i < size; ++i)
        if ((byte(i) & 0xC0) != 0x80) return {i, false};
    return {size, true};
}

std::string repaired(const std::string& bytes) {
    std::string made;
    for (std::size_t at = 0; at < bytes.size();) {
        const auto [size, good] = sequence(bytes, at);
        good ? made.append(bytes, at, size) : made.append("\xEF\xBF\xBD");
        at += size;
    }
    return made;
}

std::string joined(const std::vector<std::string>& tokens, std::string_view between) {
    std::string made;
    for (std::size_t i = 0; i < tokens.size(); ++i) made.append(i ? between : std::string_view()).append(tokens[i]);
    return made;
}

}  // namespace

void Decoding::read(Reader& in) {
    for (std::uint32_t i = in.count(1, most_trims); i > 0; --i) trims_.push_back(in.flag());
    space_.set_all(in.codes(), 1);
    const std::uint8_t kind = in.u8();
    if (kind > static_cast<std::uint8_t>(Kind::other)) Reader::damaged();
    kind_ = static_cast<Kind>(kind);
    if (kind_ == Kind::word_piece || kind_ == Kind::other) name_ = in.blob();
    if (kind_ == Kind::word_piece && name_.size() > longest_prefix) Reader::damaged();
    if (kind_ == Kind::metaspace) mark_ = in.codes(1);
    if (kind_ == Kind::metaspace && mark_.size() != 1) Reader::damaged();
    if (kind_ == Kind::word_piece || kind_ == Kind::metaspace) flag_ = in.flag();
    for (std::uint32_t i = in.count(8); i > 0; --i) {
        const std::uint32_t id = in.u32();
        names_[id] = in.blob();
    }
    for (std::uint32_t i = in.count(4); i > 0; --i) special_.insert(in.u32());
}

void Decoding::trim(Tokens& tokens) const {
    for (const bool prefixed : trims_)
        for (std::size_t i = 0; i < tokens.spans.size(); ++i) trim(tokens.strings[i], i == 0, prefixed, tokens.spans[i]);
}

// As process_offsets of the tokenizers library: by the token's signs, not by the text's.
void Decoding::trim(std::string_view token, bool first, bool prefixed, Span& span) const {
    const std::u32string codes = from_utf8(token);
    const auto white = [this](char32_t code) { return code == space_sign || space_[code] != 0; };
    auto left = static_cast<std::uint32_t>(std::find_if_not(codes.begin(), codes.end(), white) - codes.begin());
    const auto right = static_cast<std::uint32_t>(std::find_if_not(codes.rbegin(), codes.rend(), white) - codes.rbegin());
    if (left && (first || span.begin == 0) && prefixed) --left;
    span.begin = std::min(span.begin + left, span.end);
    if (span.end >= right) span.end = std::max(span.end - right, span.begin);
}

std::string Decoding::string(const Model& model, std::uint32_t id) const {
    const auto found = names_.find(id);
    return found != names_.end() ? found->second : model.string(id);
}

std::string Decoding::decode(const Model& model, const std::int64_t* ids, std::size_t count, bool skip_special) const {
    if (kind_ == Kind::other) throw Failure(TOUGHEN_BAD_FILE, "the tokenizer's decoder " + name_ + " is not one that this library knows");
    std::vector<std::string> tokens;
    for (std::size_t i = 0; i < count; ++i) {
        if (ids[i] < 0 || ids[i] > UINT32_MAX) throw Failure(TOUGHEN_BAD_ARGUMENT, "the id " + std::to_string(ids[i]) + " is none of a tokenizer");
        const auto id = static_cast<std::uint32_t>(ids[i]);
        if (skip_special && special_.count(id)) continue;
        std::string token = string(model, id);
        if (!token.empty() || names_.count(id)) tokens.push_back(std::move(token));
    }
    switch (kind_) {
        case Kind::word_piece: return words(tokens);
        case Kind::byte_level: return repaired(bytes_of(tokens));
        case Kind::metaspace: return marks(tokens);
        default: return joined(tokens, " ");
    }
}

std::string Decoding::words(const std::vector<std::string>& tokens) const {
    std::string made;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const bool inside = i && tokens[i].compare(0, name_.size(), name_) == 0;
        std::string token = inside ? tokens[i].substr(name_.size()) : (i ? " " : "") + tokens[i];
        if (flag_) clean_up(token);
        made += token;
    }
    return made;
}

std::string Decoding::marks(const std::vector<std::string>& tokens) const {
    std::string mark, made;
    append_utf8(mark, mark_[0]);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        std::string token = tokens[i];
        replace_all(token, mark, i == 0 && flag_ ? "" : " ");
        made += token;
    }
    return made;
}

}  // namespace toughen::core
