// The models: a piece (UTF-8) to ids of the vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "reader.hpp"

namespace toughen {

class Model {
public:
    virtual ~Model() = default;
    virtual void tokenise(std::string_view piece, std::vector<std::int64_t>& ids) const = 0;
};

std::unique_ptr<Model> read_model(Reader& in);

}  // namespace toughen
