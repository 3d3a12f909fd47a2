// The tokens that are found in a text before all else, such as [MASK].
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "codes.hpp"
#include "reader.hpp"

namespace toughen::core {

struct Added {
    std::u32string text;
    std::uint32_t id;
    bool left, right, normalised;  // whether white space before and after it goes with it; where it is looked for
};

// One of two sets of added tokens: those of the text as it is given, or those of the normalised one.
class AddedTokens {
public:
    void add(const Added& token);
    // The longest that begins at a place; null where none does. The time does not depend on how many there are.
    const Added* longest(std::u32string_view text, std::size_t at) const;
    const std::vector<Added>& all() const { return tokens_; }

private:
    static std::uint64_t key(std::uint32_t node, char32_t code) { return static_cast<std::uint64_t>(node) << 32 | code; }

    std::vector<Added> tokens_;
    Codes first_;                                          // whether one begins so
    std::unordered_map<std::uint64_t, std::uint32_t> to_;  // the tree: from a node (the root is 0) by a code point
    std::vector<std::uint32_t> ends_{0};                   // which token ends at a node, from 1
};

}  // namespace toughen::core
