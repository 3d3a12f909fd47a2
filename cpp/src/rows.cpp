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

Row Rows::fill(const Template& form, const Ids& first, const Ids& second, const std::vector<std::int32_t>& numbers) const {
    Row row;
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
std::vector<Row> Rows::of(const Ids& ids, const std::vector<std::int32_t>& numbers) const {
    const std::size_t free = room(single_), size = ids.size();
    const auto row = [&](std::size_t start, std::size_t end, std::size_t start2, std::size_t end2) {
        const auto kept = [&](const auto& values) {
            const auto at = [&](std::size_t i) { return values.begin() + static_cast<std::ptrdiff_t>(i); };
            std::decay_t<decltype(values)> found(at(start), at(end));
            found.insert(found.end(), at(start2), at(end2));
            return found;
        };
        return fill(single_, kept(ids), {}, words ? kept(numbers) : numbers);
    };
    if (size <= free) return {row(0, size, size, size)};
    switch (truncation) {
        case Truncation::head: return {row(0, free, size, size)};
        case Truncation::tail: return {row(size - free, size, size, size)};
        case Truncation::head_tail: return {row(0, free - free / 2, size - free / 2, size)};
        case Truncation::windows: break;
    }
    std::vector<Row> made;
    for (std::size_t start = 0; start < size - overlap_; start += free - overlap_)
        made.push_back(row(start, std::min(start + free, size), size, size));
    return made;
}

// Cuts the longer text first, as the tokenizers library does (LongestFirst).
Row Rows::of_pair(Ids first, Ids second) const {
    const std::size_t free = room(pair_);
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
    return fill(pair_, first, second, {});
}

}  // namespace toughen::core
