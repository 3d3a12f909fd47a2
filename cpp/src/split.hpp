// Pre-tokenisers: a normalised text to the pieces that the model sees one by one.
#pragma once

#include <memory>
#include <string_view>

#include "reader.hpp"

namespace toughen::core {

// Takes pieces one by one (first: whether it begins the whole text); returns false where it wants no more.
class Next {
public:
    template <typename Take>
    Next(const Take& take)  // NOLINT: made where it is passed
        : take_(&take), call_([](const void* take, std::u32string_view text, bool first) { return (*static_cast<const Take*>(take))(text, first); }) {}
    bool operator()(std::u32string_view text, bool first) const { return call_(take_, text, first); }

private:
    const void* take_;
    bool (*call_)(const void*, std::u32string_view, bool);
};

class Splitter {
public:
    virtual ~Splitter() = default;
    // Returns false where next did.
    virtual bool split(std::u32string_view text, bool first, const Next& next) const = 0;
};

std::unique_ptr<Splitter> read_splitter(Reader& in);

}  // namespace toughen::core
