// The little JSON that the runtime reads (its own metadata, lines of input) and writes (lines of results).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace toughen {

struct Json {
    enum class Kind { null, boolean, number, string, array, object };
    Kind kind = Kind::null;
    bool boolean = false;
    double number = 0;
    std::string string;
    std::vector<Json> array;
    std::map<std::string, Json> object;

    // Throws Error where the text is no JSON, is nested more than 64 levels deep or has a lone surrogate.
    static Json parse(std::string_view text);
    // The member of an object; Error names it where it is missing or of another kind.
    const Json& at(const std::string& name, Kind wanted) const;
    bool has(const std::string& name) const { return object.count(name) && object.at(name).kind != Kind::null; }
};

// The text in double quotes, escaped.
std::string quoted(std::string_view text);

}  // namespace toughen
