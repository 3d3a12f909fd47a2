// What the runtime's own code throws, and how it becomes a status at the C interface.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "toughen/tokenizer.h"

namespace toughen::core {

class Failure : public std::runtime_error {
public:
    Failure(int code, const std::string& message, std::size_t index = TOUGHEN_NO_INDEX)
        : std::runtime_error(message), code(code), index(index) {}
    // The same, about one of several texts.
    Failure of(std::size_t text) const { return Failure(code, what(), text); }

    int code;
    std::size_t index;
};

// Runs a part of the C interface: NULL, or the status of what it threw.
template <typename Body>
toughen_status* guarded(Body body) {
    try {
        body();
        return nullptr;
    } catch (const Failure& failure) {
        return toughen_status_make(failure.code, failure.index, failure.what());
    } catch (const std::bad_alloc&) {
        return toughen_status_make(TOUGHEN_NO_MEMORY, TOUGHEN_NO_INDEX, "there is not enough memory");
    } catch (const std::length_error&) {
        return toughen_status_make(TOUGHEN_NO_MEMORY, TOUGHEN_NO_INDEX, "there is not enough memory");
    } catch (const std::exception& error) {
        return toughen_status_make(TOUGHEN_INTERNAL, TOUGHEN_NO_INDEX, error.what());
    }
}

// What a part of the C interface returned, as an exception again.
inline void rethrow(toughen_status* status) {
    if (!status) return;
    const Failure failure(toughen_status_code(status), toughen_status_message(status), toughen_status_index(status));
    toughen_status_free(status);
    throw failure;
}

inline void require(bool given, const char* what) {
    if (!given) throw Failure(TOUGHEN_BAD_ARGUMENT, what);
}

}  // namespace toughen::core
