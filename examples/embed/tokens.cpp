// tokens TABLE TEXT: the text's ids and what they stand for; needs no ONNX Runtime.
#include <iostream>

#include "toughen/tokenizer.hpp"

int main(int count, char** values) {
    if (count != 3) return std::cerr << "usage: tokens TABLE TEXT\n", 2;
    try {
        const toughen::Tokenizer tokenizer(values[1]);
        for (const std::int64_t id : tokenizer.ids(values[2])) std::cout << id << " " << tokenizer.token(id) << "\n";
    } catch (const toughen::Error& error) {
        std::cerr << error.what() << "\n";
        return 2;
    }
}
