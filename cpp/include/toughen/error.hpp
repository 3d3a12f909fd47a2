// The one exception of the runtime: what was given (a folder, a text, a setting) is wrong, in one sentence.
#pragma once

#include <stdexcept>

namespace toughen {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace toughen
