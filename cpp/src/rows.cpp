#include "rows.hpp"

#include <algorithm>

namespace toughen::core {

void Rows::read_settings(Reader& in) {
    max_length_ = in.u32();
    overlap_ = in.u32();
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
}

void Rows::read_templates(Reader& in) {
    single_ = read_template(in, false);
    pair_ = read_template(in, true);
    const std::size_t free = room(single_);
    if (free == 0 || (truncation == Truncation::windows && overlap_ >= free)) Reader::damaged();
}

Rows::Template Rows::read_template(Reader& in, bool pair) {
    Template form;
    int texts[3] = {0, 0, 0};
    for (std::uint32_t i = in.count(12, 64); i > 0; --i) {
        const std::uint32_t what = in.u32(), id = in.u32();
        form.push_back({what, id, in.u32()});
        if (what > 2) Reader::damaged();
        ++texts[what];
    }
    if (texts[1] != 1 || texts[2] != (pair ? 1 : 0)) Reader::damaged();
    return form;
}

std::size_t Rows::room(const Template& form) const {
    const auto special = static_cast<std::size_t>(std::count_if(form.begin(), form.end(), [](const Part& p) { return p.what == 0; }));
    return max_length_ > special ? max_length_ - special : 0;
}

std::size_t Rows::wanted() const { return truncation == Truncation::head ? room(single_) : SIZE_MAX; }

Tokens Rows::keep(const Tokens& tokens, const Kept& kept, const Teller* teller) const {
    Tokens made;
    made.append(tokens, kept.start, kept.end);
    made.append(tokens, kept.start2, kept.end2);
    if (teller) teller->finish(made);
    return made;
}

Row Rows::fill(const Template& form, const Tokens& first, const Tokens& second, const Teller* teller) const {
    Row row;
    for (const Part& part : form) {
        Tokens one;
        if (part.what == 0) {
            one.ids.assign(1, part.id);
            if (words) one.words.assign(1, -1);
            if (teller) {
                one.spans.emplace_back();
                one.parts.assign(1, -1);
                one.strings.push_back(teller->special(part.id));
            }
        }
        const Tokens& from = part.what == 0 ? one : part.what == 1 ? first : second;
        row.tokens.append(from, 0, from.ids.size());
        row.types.insert(row.types.end(), from.ids.size(), part.type);
    }
    return row;
}

// The rows of one text: which ranges of its tokens are kept, as toughen.data.tokens.encode.Encoder plans them.
std::vector<Row> Rows::of(const Tokens& tokens, const Teller* teller) const {
    const std::size_t free = room(single_), size = tokens.ids.size();
    const auto row = [&](const Kept& kept) { return fill(single_, keep(tokens, kept, teller), {}, teller); };
    if (size <= free) return {row({0, size, size, size})};
    switch (truncation) {
        case Truncation::head: return {row({0, free, size, size})};
        case Truncation::tail: return {row({size - free, size, size, size})};
        case Truncation::head_tail: return {row({0, free - free / 2, size - free / 2, size})};
        case Truncation::windows: break;
    }
    std::vector<Row> made;
    for (std::size_t start = 0; start < size - overlap_; start += free - overlap_)
        made.push_back(row({start, std::min(start + free, size), size, size}));
    return made;
}

// Cuts the longer text first, as the tokenizers library does (LongestFirst).
Row Rows::of_pair(const Tokens& first, const Tokens& second, const Teller* teller) const {
    const std::size_t free = room(pair_), one = first.ids.size(), other = second.ids.size();
    std::size_t left = one, right = other;
    if (one + other > free) {
        std::size_t shorter = std::min(one, other);
        std::size_t longer = shorter > free ? shorter : std::max(shorter, free - shorter);
        if (shorter + longer > free) {
            shorter = free / 2;
            longer = shorter + free % 2;
        }
        left = std::min(one, one > other ? longer : shorter);
        right = std::min(other, one > other ? shorter : longer);
    }
    const auto cut = [&](const Tokens& tokens, std::size_t size) {
        const std::size_t all = tokens.ids.size(), start = cut_left ? all - size : 0;
        return keep(tokens, {start, start + size, all, all}, teller);
    };
    return fill(pair_, cut(first, left), cut(second, right), teller);
}

}  // namespace toughen::core
