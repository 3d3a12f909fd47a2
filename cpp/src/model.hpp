// The models: a piece (UTF-8) to ids of the vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "reader.hpp"

namespace toughen::core {

using Ids = std::vector<std::int64_t>;

class Model {
public:
    virtual ~Model() = default;
    virtual void tokenise(std::string_view piece, Ids& ids) const = 0;
    // The bytes of an id; empty where it has none.
    virtual std::string_view word(std::uint32_t id) const = 0;
};

std::unique_ptr<Model> read_model(Reader& in);

}  // namespace toughen::core
