// SHA-256 (FIPS 180-4), by which a graph names the tokenizer table that belongs to it.
#pragma once

#include <string>
#include <string_view>

namespace toughen::core {

// In hexadecimal, 64 characters.
std::string sha256(std::string_view data);

}  // namespace toughen::core
