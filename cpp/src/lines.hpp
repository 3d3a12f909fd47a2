// Lines of input as texts: UTF-8 lines, pairs with a tab between them, or JSON values.
#pragma once

#include <istream>
#include <string>

#include "toughen/tokenizer.hpp"

namespace toughen::core {

enum class Wanted { texts, pairs, words };

// Reads lines that end with a line feed, a carriage return, or both; the last one may lack its end. A byte order mark at
// the very beginning is no part of the text.
class Lines {
public:
    explicit Lines(std::streambuf* in) : in_(in) {}
    // False at the end of the input; throws Failure where a line is too long.
    bool next(std::string& line);

private:
    std::streambuf* in_;
    bool first_ = true, returned_ = false;  // whether the last line ended with a carriage return
};

// Both throw Failure.
Text text_of_line(const std::string& line, Wanted wanted);
Text text_of_json(const std::string& line, Wanted wanted);

}  // namespace toughen::core
