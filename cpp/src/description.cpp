#include "description.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "json.hpp"

namespace toughen::core {
namespace {

using Kind = Json::Kind;

// The place of an entry's value in a list of names.
template <std::size_t count>
int one_of(const Json& json, const std::string& entry, const char* const (&names)[count]) {
    const std::string& value = json.at(entry, Kind::string).string;
    const auto* found = std::find(std::begin(names), std::end(names), value);
    if (found == std::end(names)) throw Failure(TOUGHEN_BAD_FILE, "its " + entry + " " + quoted(value) + " is unknown");
    return static_cast<int>(found - names);
}

bool finite(const Json& value) { return value.kind == Kind::number && std::isfinite(value.number); }

std::vector<std::string> labels(const Json& json) {
    std::vector<std::string> made;
    for (const Json& label : json.at("labels", Kind::array).array) {
        // One with a zero in it would be another one in C.
        if (label.kind != Kind::string || label.string.find('\0') != std::string::npos) throw Json::wrong("labels");
        made.push_back(label.string);
    }
    if (made.empty()) throw Json::wrong("labels");
    return made;
}

std::vector<double> thresholds(const Json& json, const Description& known) {
    std::vector<double> made;
    if (!json.has("thresholds")) return made;
    for (const Json& value : json.at("thresholds", Kind::array).array) {
        if (!finite(value)) throw Json::wrong("thresholds");
        made.push_back(value.number);
    }
    const std::size_t count = known.labels.size();
    const bool fits = known.task == TOUGHEN_MULTI_LABEL ? made.size() == count : known.task == TOUGHEN_SINGLE_LABEL && count == 2 && made.size() == 1;
    if (!fits) throw Json::wrong("thresholds");
    return made;
}

// The limits of abstaining, either of which may be null.
void abstention(const Json& json, Description& into) {
    if (!json.has("abstention")) return;
    const Json& noted = json.at("abstention", Kind::object);
    const auto limit = [&](const char* name) -> std::optional<double> {
        if (!noted.has(name)) return std::nullopt;
        const Json& value = noted.at(name, Kind::number);
        if (!finite(value)) throw Json::wrong("abstention");
        return value.number;
    };
    into.answered_from = limit("threshold");
    into.in_set_from = limit("set_threshold");
    if (into.task != TOUGHEN_SINGLE_LABEL || (!into.answered_from && !into.in_set_from)) throw Json::wrong("abstention");
}

}  // namespace

Description read_description(const std::string& note) {
    if (note.empty()) throw Failure(TOUGHEN_BAD_FILE, "it has no description");
    Json json;
    try {
        json = Json::parse(note);
    } catch (const Failure& failure) {
        throw Failure(TOUGHEN_BAD_FILE, std::string("its description is ") + failure.what());
    }
    const double format = json.at("format", Kind::number).number;
    if (format != 1) throw Failure(TOUGHEN_BAD_FILE, "it is of another format, and this program reads format 1");
    static constexpr const char* tasks[] = {"single-label", "multi-label", "regression", "tokens"};
    static constexpr const char* activations[] = {"softmax", "sigmoid", "none"};
    static constexpr int belongs[] = {TOUGHEN_SOFTMAX, TOUGHEN_SIGMOID, TOUGHEN_NONE, TOUGHEN_SOFTMAX};
    Description made;
    made.task = static_cast<toughen_task>(one_of(json, "task", tasks));
    made.activation = static_cast<toughen_activation>(one_of(json, "activation", activations));
    if (made.activation != belongs[made.task]) throw Json::wrong("activation");
    const Json& temperature = json.at("temperature", Kind::number);
    if (!finite(temperature) || !(temperature.number > 0)) throw Json::wrong("temperature");
    made.temperature = temperature.number;
    made.labels = labels(json);
    made.thresholds = thresholds(json, made);
    abstention(json, made);
    if (json.has("pairs")) made.pairs = json.at("pairs", Kind::boolean).boolean;
    if (json.has("sha256")) {
        const Json& sums = json.at("sha256", Kind::object);
        if (sums.has("tokenizer.bin")) made.table = sums.at("tokenizer.bin", Kind::string).string;
    }
    return made;
}

}  // namespace toughen::core
