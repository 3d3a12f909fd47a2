// The models: a piece (UTF-8) to ids of the vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reader.hpp"

namespace toughen::core {

using Ids = std::vector<std::int64_t>;

// Bytes of a piece, from begin to before end.
struct Range {
    std::size_t begin, end;
};
using Ranges = std::vector<Range>;

class Model {
public:
    virtual ~Model() = default;
    // Adds the ids of a piece, and to the ranges, unless they are null, where in the piece each stands.
    virtual void tokenise(std::string_view piece, Ids& ids, Ranges* ranges) const = 0;
    // The token of an id as the tokenizers library writes it; empty where it has none.
    virtual std::string string(std::uint32_t id) const { return std::string(word(id)); }
    // The same of a token that was found in a text.
    virtual std::string string(std::uint32_t id, std::string_view) const { return string(id); }
    // The bytes of an id; empty where it has none.
    virtual std::string_view word(std::uint32_t id) const = 0;
};

std::unique_ptr<Model> read_model(Reader& in);

}  // namespace toughen::core
