// A text on its way to the model, and where in the text given each of its code points comes from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace toughen::core {

// Code points of the text given, from begin to before end.
struct Span {
    std::uint32_t begin = 0, end = 0;
};

struct Text {
    std::u32string codes;
    bool traced = false;
    std::vector<Span> from;  // only where traced: of each code point
    // Of a rewriting that is not settled yet: 0 where a code point takes the place of the next one before the rewriting,
    // -N where it takes the places of the N behind that too, above 0 where it is put in and belongs to the one before.
    std::vector<std::int64_t> changes;
    bool holds = false;  // whether the next step goes on with the changes of this one

    void settle() {
        if (!traced || changes.empty()) return;
        std::vector<Span> made;
        made.reserve(changes.size());
        const Span start = from.empty() ? Span{} : Span{from[0].begin, from[0].begin};
        std::size_t at = 0;
        for (const std::int64_t change : changes) {
            const std::size_t place = change > 0 ? at - 1 : at;
            made.push_back((change > 0 && at == 0) || from.empty() ? start : from[place < from.size() ? place : from.size() - 1]);
            if (change <= 0) at += 1 + static_cast<std::size_t>(-change);
        }
        from.swap(made);
        changes.clear();
    }
};

// A part of a text; from is null where it is not traced.
struct View {
    std::u32string_view codes;
    const Span* from = nullptr;

    View part(std::size_t start, std::size_t end) const { return {codes.substr(start, end - start), from ? from + start : nullptr}; }
    // Where all of it comes from; it is not empty and traced.
    Span span() const { return {from[0].begin, from[codes.size() - 1].end}; }
};

}  // namespace toughen::core
