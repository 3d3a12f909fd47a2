#include "added.hpp"

namespace toughen::core {

void AddedTokens::add(const Added& token) {
    first_.set(token.text[0], 1);
    std::uint32_t node = 0;
    for (const char32_t code : token.text) {
        const auto [found, made] = to_.try_emplace(key(node, code), static_cast<std::uint32_t>(ends_.size()));
        if (made) ends_.push_back(0);
        node = found->second;
    }
    tokens_.push_back(token);
    if (!ends_[node]) ends_[node] = static_cast<std::uint32_t>(tokens_.size());  // of equal ones the first
}

const Added* AddedTokens::longest(std::u32string_view text, std::size_t at) const {
    if (!first_[text[at]]) return nullptr;
    std::uint32_t node = 0, found = 0;
    for (; at < text.size(); ++at) {
        const auto next = to_.find(key(node, text[at]));
        if (next == to_.end()) break;
        node = next->second;
        if (ends_[node]) found = ends_[node];
    }
    return found ? &tokens_[found - 1] : nullptr;
}

}  // namespace toughen::core
