// The steps that take out what a reader does not see: see src/toughen/data/tokens/sanitizer.py.
#pragma once

#include <memory>

#include "normalise.hpp"

namespace toughen::core {

// Reads the rest of a step of kind 9 to 11; refuses other kinds.
std::unique_ptr<Step> read_sanitizing(std::uint8_t kind, Reader& in);

}  // namespace toughen::core
