#include "table.hpp"

#include <algorithm>

#include "sha256.hpp"
#include "utf8.hpp"

namespace toughen::core {
namespace {

constexpr std::string_view magic = "TOUGHTOK";
constexpr std::uint32_t newest = 3;
constexpr std::uint32_t most_steps = 32, longest_added = 1024;
constexpr std::size_t growth = 64, first_growth = 4096;  // code points that normalising may make of one, and besides

// CRC-32 below, Adler-32 above.
std::uint64_t checksum(std::string_view data) {
    std::uint32_t table[256];
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
        table[i] = value;
    }
    std::uint32_t crc = 0xFFFFFFFFu, low = 1, high = 0;
    for (const char c : data) {
        const auto byte = static_cast<unsigned char>(c);
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8);
        low = (low + byte) % 65521;
        high = (high + low) % 65521;
    }
    return (static_cast<std::uint64_t>(high << 16 | low) << 32) | (crc ^ 0xFFFFFFFFu);
}

bool ideograph(char32_t code) { return code >= 0x4E00 && code < 0xA000; }

// Letters, digits and signs that no rule of Unicode joins with white space beside them.
bool plain(char32_t code) {
    static constexpr char32_t ranges[][2] = {
        {0x21, 0x7E}, {0xC0, 0x24F}, {0x391, 0x3C9}, {0x400, 0x481}, {0x48A, 0x52F}, {0x5D0, 0x5EA}, {0x621, 0x64A}, {0x904, 0x939},
        {0xE01, 0xE2E}, {0x2010, 0x2027}, {0x3001, 0x3002}, {0x3041, 0x3096}, {0x30A1, 0x30FA}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF},
        {0xAC00, 0xD7A3}, {0xFF01, 0xFF60}, {0x1F300, 0x1F3FA}, {0x1F400, 0x1F64F}};
    return std::any_of(std::begin(ranges), std::end(ranges), [&](const auto& range) { return code >= range[0] && code <= range[1]; });
}

}  // namespace

Table::Table(std::string_view file) : sha256_(core::sha256(file)) {
    const auto refuse = [](const std::string& why) { throw Failure(TOUGHEN_BAD_FILE, why); };
    if (file.substr(0, magic.size()) != magic) refuse("it is no tokenizer table");
    Reader head(file.substr(magic.size()));
    version_ = head.u32();
    if (version_ == 0 || version_ > newest)
        refuse("it is of version " + std::to_string(version_) + ", and this program reads versions 1 to " + std::to_string(newest));
    const std::uint64_t size = head.u64(), sum = head.u64();
    const std::string_view payload = file.substr(magic.size() + 20);
    if (payload.size() != size || checksum(payload) != sum) refuse("it is damaged or cut short");
    read(Reader(payload));
}

void Table::read(Reader in) {
    rows_.read_settings(in);
    read_added(in);
    for (std::uint32_t i = in.count(5, most_steps); i > 0; --i) steps_.push_back(read_step(in.blob()));
    for (std::uint32_t i = in.count(1, most_steps); i > 0; --i) splitters_.push_back(read_splitter(in));
    model_ = read_model(in);
    rows_.read_templates(in);
    if (version_ > 1) decoding_.read(in);
    test(in);
    if (!in.done()) Reader::damaged();
    find_cuts();
}

void Table::read_added(Reader& in) {
    for (std::uint32_t i = in.count(11); i > 0; --i) {
        Added token{in.codes(longest_added), in.u32(), false, false, false};
        token.left = in.flag();
        token.right = in.flag();
        token.normalised = in.flag();
        if (!token.text.empty()) (token.normalised ? normalised_ : given_).add(token);
    }
    space_.set_all(in.codes(), 1);
}

void Table::test(Reader& in) const {
    for (std::uint32_t i = in.count(8); i > 0; --i) {
        const std::string_view text = in.blob();
        const Ids found = ids(text);
        Ids wanted(in.count(4));
        for (std::int64_t& id : wanted) id = in.u32();
        if (found != wanted) throw Failure(TOUGHEN_BAD_FILE, "this program does not repeat the ids of its test texts");
        if (version_ > 1) test_decoding(in, text);
    }
}

void Table::test_decoding(Reader& in, std::string_view text) const {
    Tokens found = tokens(text);
    finish(found);
    bool equal = in.count(8) == found.ids.size();
    for (std::size_t i = 0; equal && i < found.ids.size(); ++i) {
        const std::uint32_t begin = in.u32();
        equal = begin == found.spans[i].begin && in.u32() == found.spans[i].end;
    }
    if (!equal) throw Failure(TOUGHEN_BAD_FILE, "this program does not repeat the offsets of its test texts");
    const std::string_view wanted = in.blob();
    if (decoding_.known() && decode(found.ids.data(), found.ids.size(), false) != wanted)
        throw Failure(TOUGHEN_BAD_FILE, "this program does not repeat the decoded ids of its test texts");
}

// Adds added tokens, leftmost and longest first, and calls between(start, end) for what stands between.
template <typename Between>
void Table::find_added(View view, const AddedTokens& tokens, Found& found, Between between) const {
    const std::u32string_view text = view.codes;
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size() && !tokens.all().empty();) {
        const Added* token = tokens.longest(text, at);
        if (!token) {
            ++at;
            continue;
        }
        std::size_t start = at, end = at + token->text.size();
        at = end;
        while (token->left && start > done && space_[text[start - 1]]) --start;
        while (token->right && end < text.size() && space_[text[end]]) ++end;
        if (start > done) between(done, start);
        if (found.full()) return;
        found.tokens.ids.push_back(token->id);
        if (found.traced) {
            found.tokens.spans.push_back(view.part(start, end).span());
            found.tokens.strings.push_back(to_utf8(text.substr(start, end - start)));
        }
        done = end;
        at = std::max(at, end);
    }
    if (done < text.size() && !found.full()) between(done, text.size());
}

Ids Table::ids(std::string_view text, std::size_t wanted) const { return find(text, wanted, false).ids; }

Tokens Table::tokens(std::string_view text, std::size_t wanted) const {
    if (text.size() > UINT32_MAX) throw Failure(TOUGHEN_BAD_TEXT, "the text has more than 4 GiB, and offsets end there");
    Tokens found = find(text, wanted, true);
    found.parts.assign(found.ids.size(), 0);
    return found;
}

std::string Table::decode(const std::int64_t* ids, std::size_t count, bool skip_special) const {
    return decoding_.decode(*model_, ids, count, skip_special);
}

void Table::require_decoding() const {
    if (version_ < 2)
        throw Failure(TOUGHEN_BAD_FILE, "the tokenizer table is of version 1, which has ids alone; make it again for offsets, token strings and decoding");
}

Tokens Table::find(std::string_view text, std::size_t wanted, bool traced) const {
    Found found{{}, wanted, traced};
    // The beginning of a long text decides: cut where what follows changes nothing of the ids before.
    std::size_t size = 256 + 8 * std::min(wanted, text.size());
    if (size < text.size()) each_code(text, [](char32_t, std::size_t) { return true; });  // all of it is UTF-8
    for (; size < text.size(); size *= 4) {
        const std::size_t end = cut(text, size);
        if (end == 0) continue;
        read_all(text.substr(0, end), found);
        if (found.full()) return std::move(found.tokens);
        found.tokens = {};
    }
    read_all(text, found);
    return std::move(found.tokens);
}

void Table::read_all(std::string_view bytes, Found& found) const {
    const std::u32string text = from_utf8(bytes);
    std::vector<Span> from;
    for (std::uint32_t i = 0; found.traced && i < text.size(); ++i) from.push_back({i, i + 1});
    const View all{text, found.traced ? from.data() : nullptr};
    find_added(all, given_, found, [&](std::size_t start, std::size_t end) {
        const Text made = normal(all.part(start, end));
        const View normalised{made.codes, found.traced ? made.from.data() : nullptr};
        find_added(normalised, normalised_, found, [&](std::size_t first, std::size_t last) {
            pieces(normalised.part(first, last), start == 0 && first == 0, 0, found);
        });
    });
}

Text Table::normal(View text) const {
    Text made;
    made.codes = text.codes;
    made.traced = text.from != nullptr;
    if (made.traced) made.from.assign(text.from, text.from + text.codes.size());
    const std::size_t most = growth * text.codes.size() + first_growth;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
        made.holds = i + 1 < steps_.size() && steps_[i + 1]->joins();
        steps_[i]->apply(made, most);
        if (!made.holds) made.settle();
    }
    return made;
}

void Table::pieces(View text, bool first, std::size_t splitter, Found& found) const {
    if (splitter == splitters_.size()) return tokenise(text, found);
    splitters_[splitter]->split(text, first, [&](View piece, bool begins) {
        pieces(piece, begins, splitter + 1, found);
        return !found.full();
    });
}

void Table::tokenise(View piece, Found& found) const {
    const std::string bytes = to_utf8(piece.codes);
    Tokens& tokens = found.tokens;
    if (!found.traced) return model_->tokenise(bytes, tokens.ids, nullptr);
    Ranges ranges;
    const std::size_t before = tokens.ids.size();
    model_->tokenise(bytes, tokens.ids, &ranges);
    std::vector<std::uint32_t> place;  // of each byte, in code points of the piece
    for (std::uint32_t i = 0, code = 0; i < bytes.size(); ++i) {
        code += i > 0 && (static_cast<unsigned char>(bytes[i]) & 0xC0) != 0x80;
        place.push_back(code);
    }
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const auto [begin, end] = ranges[i];
        tokens.spans.push_back({piece.from[place[begin]].begin, piece.from[place[end - 1]].end});
        tokens.strings.push_back(model_->string(static_cast<std::uint32_t>(tokens.ids[before + i]), std::string_view(bytes).substr(begin, end - begin)));
    }
}

// Finds out, by small texts, where this tokenizer never reads across.
void Table::find_cuts() {
    for (const char32_t space : {U' ', U'\n', U'\t', U'\r'})
        if (!crossed(space) && parts(std::u32string{U'a', space, U'a'}, 1)) spaces_ += space;
    ideographs_ = parts(U"\u4E00\u4E00", 1);
    for (const AddedTokens* tokens : {&given_, &normalised_})
        for (const Added& token : tokens->all())
            ideographs_ = ideographs_ && (token.text.size() == 1 || std::none_of(token.text.begin(), token.text.end(), ideograph));
    for (char32_t code = 0x4E00; code < 0xA000 && ideographs_; ++code)
        ideographs_ = std::none_of(steps_.begin(), steps_.end(), [&](const auto& step) { return step->spans(code); });
}

// Whether the first so many code points are read as if nothing followed them.
bool Table::parts(std::u32string_view text, std::size_t first) const {
    const auto read = [&](std::u32string_view given) {
        std::vector<std::u32string> found;
        const Text made = normal({given});
        const auto split = [&](const auto& self, View piece, bool begins, std::size_t splitter) -> void {
            if (splitter == splitters_.size()) return found.emplace_back(piece.codes), void();
            splitters_[splitter]->split(piece, begins, [&](View part, bool start) {
                self(self, part, start, splitter + 1);
                return true;
            });
        };
        split(split, {made.codes}, true, 0);
        return found;
    };
    const auto whole = read(text), beginning = read(text.substr(0, first));
    return beginning.size() == 1 && whole.size() > 1 && whole[0] == beginning[0];
}

// Whether a step or an added token looks at white space together with what is beside it.
bool Table::crossed(char32_t space) const {
    const auto spans = [&](char32_t code) { return std::any_of(steps_.begin(), steps_.end(), [&](const auto& step) { return step->spans(code); }); };
    const auto within = [](const AddedTokens& tokens, std::u32string_view codes) {
        return std::any_of(tokens.all().begin(), tokens.all().end(), [&](const Added& token) {
            return token.text.find_first_of(codes) != std::u32string::npos && token.text.find_first_not_of(codes) != std::u32string::npos;
        });
    };
    const std::u32string given{U'a', space, U'a'}, made = normal({given}).codes;
    const std::size_t start = made.find(U'a'), end = made.rfind(U'a');
    if (start == end) return true;
    const std::u32string_view between = std::u32string_view(made).substr(start + 1, end - start - 1);
    return spans(space) || std::any_of(between.begin(), between.end(), spans) || within(given_, std::u32string_view(&space, 1)) || within(normalised_, between);
}

// The first place from a byte on, and not far behind it, at which the text can be cut; 0 where there is none.
std::size_t Table::cut(std::string_view text, std::size_t from) const {
    if (spaces_.empty() && !ideographs_) return 0;
    const auto inside = [&](std::size_t at) { return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; };
    while (inside(from)) ++from;
    std::size_t till = from + std::min(text.size() - from, std::max<std::size_t>(from, 65536));
    while (inside(till)) ++till;
    char32_t before = 0, last = 0;
    std::size_t place = 0, found = 0;
    each_code(text.substr(from, till - from), [&](char32_t code, std::size_t at) {
        if (plain(before) && plain(code) && spaces_.find(last) != std::u32string::npos) return found = place, false;
        if (ideographs_ && ideograph(last) && ideograph(code)) return found = at, false;
        before = last;
        last = code;
        place = at;
        return true;
    });
    return found ? from + found : 0;
}

std::string_view Table::word(std::uint32_t id) const { return model_->word(id); }

}  // namespace toughen::core
