#include <cstdio>

#include "toughen/tokenizer.hpp"

int main() {
    try {
        toughen::Tokenizer tokenizer("no such table");
    } catch (const toughen::Error& error) {
        std::puts(error.what());
        return error.code() == TOUGHEN_BAD_FILE ? 0 : 1;
    }
    return 1;
}
