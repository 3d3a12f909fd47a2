// Pre-tokenisers: a normalised text to the pieces that the model sees one by one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "reader.hpp"

namespace toughen {

struct Piece {
    std::u32string text;
    bool first;  // whether it begins the whole text
};

class Splitter {
public:
    virtual ~Splitter() = default;
    virtual void split(Piece piece, std::vector<Piece>& out) const = 0;
};

std::unique_ptr<Splitter> read_splitter(Reader& in);

}  // namespace toughen
