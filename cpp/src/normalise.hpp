// The steps of a normaliser: see src/toughen/deploy/normalise.py, which writes them.
#pragma once

#include <memory>
#include <string>

#include "reader.hpp"

namespace toughen {

class Step {
public:
    virtual ~Step() = default;
    virtual void apply(std::u32string& text) const = 0;
};

std::unique_ptr<Step> read_step(std::string_view blob);

}  // namespace toughen
