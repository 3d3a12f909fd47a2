// The steps of a normaliser: see src/toughen/deploy/normalise.py, which writes them.
#pragma once

#include <memory>
#include <string>

#include "reader.hpp"
#include "text.hpp"

namespace toughen::core {

class Step {
public:
    virtual ~Step() = default;
    // Throws Failure where more than so many code points are made.
    virtual void apply(Text& text, std::size_t most) const = 0;
    // Whether it looks for a code point together with its neighbours (white space apart).
    virtual bool spans(char32_t) const { return false; }
    // Whether it is one rewriting with the step before it, as decomposing, ordering and composing are.
    virtual bool joins() const { return false; }
};

std::unique_ptr<Step> read_step(std::string_view blob);

}  // namespace toughen::core
