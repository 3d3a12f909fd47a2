// A text that is copied with some parts changed.
#pragma once

#include <string>
#include <vector>

#include "text.hpp"

namespace toughen::core {

class Copy {
public:
    explicit Copy(Text& text) : text_(text) {}
    void keep(std::size_t start, std::size_t end) {
        codes.append(text_.codes, start, end - start);
        if (text_.traced) from_.insert(from_.end(), at(start), at(end));
    }
    // What is put in comes from where the code point at a place came from.
    void put(const std::u32string& made, std::size_t place) {
        codes += made;
        if (text_.traced) from_.insert(from_.end(), made.size(), text_.from[place]);
    }
    void finish() {
        text_.codes.swap(codes);
        text_.from.swap(from_);
    }

    std::u32string codes;

private:
    std::vector<Span>::const_iterator at(std::size_t place) const { return text_.from.begin() + static_cast<std::ptrdiff_t>(place); }

    Text& text_;
    std::vector<Span> from_;
};

}  // namespace toughen::core
