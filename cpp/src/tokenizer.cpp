#include "toughen/tokenizer.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "codes.hpp"
#include "model.hpp"
#include "normalise.hpp"
#include "split.hpp"
#include "toughen/error.hpp"
#include "utf8.hpp"

namespace toughen {
namespace {

constexpr std::string_view magic = "TOUGHTOK";
constexpr std::uint32_t version = 1;

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

enum class Truncation { head, tail, head_tail, windows };

struct Added {
    std::u32string text;
    std::uint32_t id;
    bool left, right, normalised;
};

struct Part {
    std::uint32_t what, id, type;  // 0 a special token, 1 the text, 2 the second text
};
using Template = std::vector<Part>;
using Ids = std::vector<std::int64_t>;

}  // namespace

struct Tokenizer::Table {
    std::uint32_t max_length = 0, overlap = 0;
    Truncation truncation = Truncation::head;
    bool cut_left = false, words = false, spaced = false, pad_left = false, types = false;
    std::uint32_t pad = 0, pad_type = 0;
    std::vector<Added> added;
    Codes space;
    std::vector<std::unique_ptr<Step>> steps;
    std::vector<std::unique_ptr<Splitter>> splitters;
    std::unique_ptr<Model> model;
    Template single, pair;

    void read(Reader in);
    void read_added(Reader& in);
    static Template read_template(Reader& in, bool pair);
    void test(Reader& in) const;

    Ids ids(std::string_view text) const;
    template <typename Between>
    void find_added(const std::u32string& text, bool normalised, Ids& ids, Between between) const;
    const Added* longest(const std::u32string& text, std::size_t at, bool normalised) const;
    void normal(std::u32string text, bool first, Ids& ids) const;
    void pieces(std::u32string text, bool first, Ids& ids) const;

    std::size_t room(const Template& form) const;
    Encoded fill(const Template& form, const Ids& first, const Ids& second, const std::vector<int>& words) const;
    std::vector<Encoded> rows(const Ids& ids, const std::vector<int>& words) const;
    Encoded encode_pair(Ids first, Ids second) const;
};

void Tokenizer::Table::read(Reader in) {
    max_length = in.u32();
    overlap = in.u32();
    const std::uint8_t name = in.u8();
    if (name > 3) Reader::damaged();
    truncation = static_cast<Truncation>(name);
    cut_left = in.flag();
    words = in.flag();
    spaced = in.flag();
    pad_left = in.flag();
    types = in.flag();
    pad = in.u32();
    pad_type = in.u32();
    read_added(in);
    for (std::uint32_t i = in.count(5); i > 0; --i) steps.push_back(read_step(in.blob()));
    for (std::uint32_t i = in.count(1); i > 0; --i) splitters.push_back(read_splitter(in));
    model = read_model(in);
    single = read_template(in, false);
    pair = read_template(in, true);
    const std::size_t free = room(single);
    if (free == 0 || (truncation == Truncation::windows && overlap >= free)) Reader::damaged();
    test(in);
    if (!in.done()) Reader::damaged();
}

void Tokenizer::Table::read_added(Reader& in) {
    for (std::uint32_t i = in.count(11); i > 0; --i) {
        Added token{in.codes(), in.u32(), false, false, false};
        token.left = in.flag();
        token.right = in.flag();
        token.normalised = in.flag();
        if (!token.text.empty()) added.push_back(std::move(token));
    }
    space.set_all(in.codes(), 1);
    std::stable_sort(added.begin(), added.end(), [](const Added& a, const Added& b) { return a.text.size() > b.text.size(); });
}

Template Tokenizer::Table::read_template(Reader& in, bool pair) {
    Template form;
    int texts[3] = {0, 0, 0};
    for (std::uint32_t i = in.count(12); i > 0; --i) {
        const std::uint32_t what = in.u32(), id = in.u32();
        form.push_back({what, id, in.u32()});
        if (what > 2) Reader::damaged();
        ++texts[what];
    }
    if (texts[1] != 1 || texts[2] != (pair ? 1 : 0)) Reader::damaged();
    return form;
}

void Tokenizer::Table::test(Reader& in) const {
    for (std::uint32_t i = in.count(8); i > 0; --i) {
        const Ids found = ids(in.blob());
        Ids wanted(in.count(4));
        for (std::int64_t& id : wanted) id = in.u32();
        if (found != wanted) throw Error("this program does not repeat the ids of its test texts");
    }
}

const Added* Tokenizer::Table::longest(const std::u32string& text, std::size_t at, bool normalised) const {
    for (const Added& token : added)
        if (token.normalised == normalised && token.text[0] == text[at] && text.compare(at, token.text.size(), token.text) == 0)
            return &token;
    return nullptr;
}

// Adds the ids of added tokens, leftmost and longest first, and calls between(start, end) for what stands between.
template <typename Between>
void Tokenizer::Table::find_added(const std::u32string& text, bool normalised, Ids& ids, Between between) const {
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
        const Added* token = longest(text, at, normalised);
        if (!token) {
            ++at;
            continue;
        }
        std::size_t start = at, end = at + token->text.size();
        at = end;
        while (token->left && start > done && space[text[start - 1]]) --start;
        while (token->right && end < text.size() && space[text[end]]) ++end;
        if (start > done) between(done, start);
        ids.push_back(token->id);
        done = end;
        at = std::max(at, end);
    }
    if (done < text.size()) between(done, text.size());
}

Ids Tokenizer::Table::ids(std::string_view bytes) const {
    Ids made;
    const std::u32string text = from_utf8(bytes);
    find_added(text, false, made,
               [&](std::size_t start, std::size_t end) { normal(text.substr(start, end - start), start == 0, made); });
    return made;
}

void Tokenizer::Table::normal(std::u32string text, bool first, Ids& made) const {
    for (const auto& step : steps) step->apply(text);
    find_added(text, true, made, [&](std::size_t start, std::size_t end) {
        pieces(text.substr(start, end - start), first && start == 0, made);
    });
}

void Tokenizer::Table::pieces(std::u32string text, bool first, Ids& made) const {
    std::vector<Piece> now, next;
    now.push_back({std::move(text), first});
    for (const auto& splitter : splitters) {
        next.clear();
        for (Piece& piece : now) splitter->split(std::move(piece), next);
        now.swap(next);
    }
    for (const Piece& piece : now) model->tokenise(to_utf8(piece.text), made);
}

std::size_t Tokenizer::Table::room(const Template& form) const {
    const auto special = static_cast<std::size_t>(std::count_if(form.begin(), form.end(), [](const Part& p) { return p.what == 0; }));
    return max_length > special ? max_length - special : 0;
}

Encoded Tokenizer::Table::fill(const Template& form, const Ids& first, const Ids& second, const std::vector<int>& numbers) const {
    Encoded row;
    for (const Part& part : form) {
        const Ids one{part.id};
        const Ids& from = part.what == 0 ? one : part.what == 1 ? first : second;
        row.ids.insert(row.ids.end(), from.begin(), from.end());
        row.types.insert(row.types.end(), from.size(), part.type);
        if (!words) continue;
        if (part.what == 1)
            row.words.insert(row.words.end(), numbers.begin(), numbers.end());
        else
            row.words.insert(row.words.end(), from.size(), -1);
    }
    return row;
}

// The rows of one text: which ranges of its ids are kept, as toughen.data.tokens.encode.Encoder plans them.
std::vector<Encoded> Tokenizer::Table::rows(const Ids& ids, const std::vector<int>& numbers) const {
    const std::size_t free = room(single), size = ids.size();
    const auto row = [&](std::size_t start, std::size_t end, std::size_t start2, std::size_t end2) {
        const auto kept = [&](const auto& values) {
            std::decay_t<decltype(values)> found(values.begin() + static_cast<std::ptrdiff_t>(start), values.begin() + static_cast<std::ptrdiff_t>(end));
            found.insert(found.end(), values.begin() + static_cast<std::ptrdiff_t>(start2), values.begin() + static_cast<std::ptrdiff_t>(end2));
            return found;
        };
        return fill(single, kept(ids), {}, words ? kept(numbers) : numbers);
    };
    if (size <= free) return {row(0, size, size, size)};
    switch (truncation) {
        case Truncation::head: return {row(0, free, size, size)};
        case Truncation::tail: return {row(size - free, size, size, size)};
        case Truncation::head_tail: return {row(0, free - free / 2, size - free / 2, size)};
        case Truncation::windows: break;
    }
    std::vector<Encoded> made;
    for (std::size_t start = 0; start < size - overlap; start += free - overlap)
        made.push_back(row(start, std::min(start + free, size), size, size));
    return made;
}

// Cuts the longer text first, as the tokenizers library does (LongestFirst).
Encoded Tokenizer::Table::encode_pair(Ids first, Ids second) const {
    const std::size_t free = room(pair);
    if (first.size() + second.size() > free) {
        std::size_t shorter = std::min(first.size(), second.size());
        std::size_t longer = shorter > free ? shorter : std::max(shorter, free - shorter);
        if (shorter + longer > free) {
            shorter = free / 2;
            longer = shorter + free % 2;
        }
        const bool swapped = first.size() > second.size();
        const auto cut = [this](Ids& ids, std::size_t size) {
            if (ids.size() <= size) return;
            if (cut_left)
                ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(size));
            else
                ids.resize(size);
        };
        cut(first, swapped ? longer : shorter);
        cut(second, swapped ? shorter : longer);
    }
    return fill(pair, first, second, {});
}

Tokenizer::Tokenizer(const std::string& path) : table_(std::make_unique<Table>()) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error("cannot read " + path + ": there is no such file");
    const std::string data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    try {
        if (std::string_view(data).substr(0, magic.size()) != magic) throw Error("it is no tokenizer table");
        Reader head(std::string_view(data).substr(magic.size()));
        const std::uint32_t found = head.u32();
        if (found != version)
            throw Error("it is of version " + std::to_string(found) + ", and this program reads version " + std::to_string(version));
        const std::uint64_t size = head.u64(), sum = head.u64();
        const std::string_view payload = std::string_view(data).substr(magic.size() + 20);
        if (payload.size() != size || checksum(payload) != sum) throw Error("it is damaged or cut short");
        table_->read(Reader(payload));
    } catch (const Error& error) {
        throw Error("cannot use " + path + ": " + error.what() + "; export the model again");
    }
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

std::vector<Encoded> Tokenizer::encode(const Text& text) const {
    if (text.pair) return {table_->encode_pair(table_->ids(text.first), table_->ids(text.second))};
    if (!table_->words) return table_->rows(table_->ids(text.first), {});
    Ids ids;
    std::vector<int> numbers;
    for (std::size_t i = 0; i < text.words.size(); ++i) {
        const Ids more = table_->ids(i && table_->spaced ? " " + text.words[i] : text.words[i]);
        ids.insert(ids.end(), more.begin(), more.end());
        numbers.resize(ids.size(), -1);
        if (!more.empty()) numbers[ids.size() - more.size()] = static_cast<int>(i);
    }
    return table_->rows(ids, numbers);
}

std::vector<std::int64_t> Tokenizer::ids(std::string_view text) const { return table_->ids(text); }
bool Tokenizer::takes_words() const { return table_->words; }
bool Tokenizer::pads_left() const { return table_->pad_left; }
std::int64_t Tokenizer::pad_id() const { return table_->pad; }
std::int64_t Tokenizer::pad_type() const { return table_->pad_type; }

}  // namespace toughen
