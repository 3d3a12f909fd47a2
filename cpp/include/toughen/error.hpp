// The one exception of the runtime: what was given (a folder, a text, a setting) is wrong, in one sentence.
#pragma once

#include <memory>
#include <stdexcept>

#include "toughen/tokenizer.h"

namespace toughen {

class Error : public std::runtime_error {
public:
    static constexpr std::size_t no_index = TOUGHEN_NO_INDEX;

    Error(int code, std::size_t index, const char* message) : std::runtime_error(message), code_(code), index_(index) {}
    // One of toughen_code.
    int code() const { return code_; }
    // Which of the texts given it is about; no_index where it is none.
    std::size_t index() const { return index_; }

private:
    int code_;
    std::size_t index_;
};

// Throws what a function of the C interface returned.
inline void check(toughen_status* status) {
    if (!status) return;
    const std::unique_ptr<toughen_status, void (*)(toughen_status*)> owned(status, toughen_status_free);
    throw Error(toughen_status_code(status), toughen_status_index(status), toughen_status_message(status));
}

}  // namespace toughen
