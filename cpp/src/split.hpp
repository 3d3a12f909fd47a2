// Pre-tokenisers: a normalised text to the pieces that the model sees one by one.
#pragma once

#include <memory>

#include "reader.hpp"
#include "text.hpp"

namespace toughen::core {

// Takes pieces one by one (first: whether it begins the whole text); returns false where it wants no more.
class Next {
public:
    template <typename Take>
    Next(const Take& take)  // NOLINT: made where it is passed
        : take_(&take), call_([](const void* take, View text, bool first) { return (*static_cast<const Take*>(take))(text, first); }) {}
    bool operator()(View text, bool first) const { return call_(take_, text, first); }

private:
    const void* take_;
    bool (*call_)(const void*, View, bool);
};

class Splitter {
public:
    virtual ~Splitter() = default;
    // Returns false where next did.
    virtual bool split(View text, bool first, const Next& next) const = 0;
};

std::unique_ptr<Splitter> read_splitter(Reader& in);

}  // namespace toughen::core
