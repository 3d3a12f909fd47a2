// toughen-cli MODEL_DIR < texts > results: a text per line in, a JSON object per line out.
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>

#include "toughen/classifier.hpp"
#include "toughen/json.hpp"
#include "utf8.hpp"

namespace {

using namespace toughen;

constexpr std::size_t chunk = 512;                      // texts that are read, sorted by length and answered together,
constexpr std::size_t chunk_bytes = 4 * 1024 * 1024;    // or fewer where they are longer than this together
constexpr std::size_t longest_line = 16 * 1024 * 1024;  // bytes

const char* usage =
    "usage: toughen-cli MODEL_DIR [--model FILE] [--threads N] [--batch N] [--json] [--ids] [--ort LIBRARY] < texts > results\n"
    "  a text per line, of pairs both texts with a tab between them; with --json a JSON value per line: a string, a list of\n"
    "  two strings for a pair, a list of words to be tagged; --ids prints token ids only, and needs no ONNX Runtime";

struct Arguments {
    std::string folder;
    Options options;
    bool json = false, ids = false;
};

long whole_number(const std::string& name, const std::string& value, long least) {
    char* end = nullptr;
    const long number = std::strtol(value.c_str(), &end, 10);
    if (value.empty() || *end || number < least || number > 4096)
        throw Error(name + " must be a whole number from " + std::to_string(least) + " to 4096, got \"" + value + "\"");
    return number;
}

Arguments parse(int count, char** values) {
    Arguments made;
    for (int i = 1; i < count; ++i) {
        const std::string name = values[i];
        const auto value = [&]() -> std::string {
            if (i + 1 == count) throw Error(name + " needs a value\n" + usage);
            return values[++i];
        };
        if (name == "--json") made.json = true;
        else if (name == "--ids") made.ids = true;
        else if (name == "--model") made.options.model = value();
        else if (name == "--ort") made.options.onnxruntime = value();
        else if (name == "--threads") made.options.threads = static_cast<int>(whole_number(name, value(), 0));
        else if (name == "--batch") made.options.batch = static_cast<std::size_t>(whole_number(name, value(), 1));
        else if (name.rfind("--", 0) == 0 || !made.folder.empty()) throw Error("unknown argument " + name + "\n" + usage);
        else made.folder = name;
    }
    if (made.folder.empty()) throw Error(std::string("name the folder that toughen export wrote\n") + usage);
    return made;
}

// False at the end of the input. A line ends with LF, CRLF or CR; the last one may lack it.
bool read_line(std::string& line) {
    line.clear();
    std::streambuf* in = std::cin.rdbuf();
    for (int c; (c = in->sbumpc()) != std::char_traits<char>::eof();) {
        if (c == '\n') return true;
        if (c == '\r') {
            if (in->sgetc() == '\n') in->sbumpc();
            return true;
        }
        if (line.size() == longest_line) throw Error("the line is longer than 16 MiB");
        line += static_cast<char>(c);
    }
    return !line.empty();
}

// Words as Python's str.split() finds them.
std::vector<std::string> split_words(const std::string& line) {
    const auto is_space = [](char32_t c) {
        return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
               c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
    };
    std::vector<std::string> words;
    bool inside = false;
    for (const char32_t code : from_utf8(line)) {
        if (is_space(code)) {
            inside = false;
            continue;
        }
        if (!inside) words.emplace_back();
        inside = true;
        append_utf8(words.back(), code);
    }
    return words;
}

std::vector<std::string> strings(const Json& json) {
    std::vector<std::string> made;
    for (const Json& value : json.array) {
        if (value.kind != Json::Kind::string) throw Error("the list holds something that is no string");
        made.push_back(value.string);
    }
    return made;
}

Text from_json(const std::string& line, bool words) {
    const Json json = Json::parse(line);
    Text text;
    if (json.kind == Json::Kind::string && words) text.words = split_words(json.string);
    else if (json.kind == Json::Kind::string) text.first = json.string;
    else if (json.kind == Json::Kind::array && words) text.words = strings(json);
    else if (json.kind == Json::Kind::array && json.array.size() == 2) {
        const auto both = strings(json);
        text = {both[0], both[1], true, {}};
    } else throw Error("it is neither a string nor a list of strings that the model takes");
    return text;
}

Text from_line(const std::string& line, bool words, bool pairs) {
    Text text;
    const auto tab = line.find('\t');
    if (words) text.words = split_words(line);
    else if (!pairs) text.first = line;
    else if (tab == std::string::npos) throw Error("the model takes pairs of texts; put a tab between the two");
    else text = {line.substr(0, tab), line.substr(tab + 1), true, {}};
    return text;
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", value);
    return std::isalpha(static_cast<unsigned char>(text[value < 0])) ? "null" : text;
}

std::string list(std::size_t count, const std::function<std::string(std::size_t)>& item, const char* brackets) {
    std::string made(1, brackets[0]);
    for (std::size_t i = 0; i < count; ++i) made += (i ? ", " : "") + item(i);
    return made + brackets[1];
}

std::string answer(const Classifier& classify, const Text& text, const Output& output) {
    const Description& how = classify.description();
    const auto chosen = classify.chosen(output);
    if (how.task == Task::regression) return "{\"score\": " + number(output.values[0]) + "}";
    if (how.task == Task::tokens) {
        return "{\"words\": " + list(text.words.size(), [&](std::size_t i) { return quoted(text.words[i]); }, "[]") +
               ", \"tags\": " + list(chosen.size(), [&](std::size_t i) { return quoted(how.labels[chosen[i]]); }, "[]") +
               ", \"scores\": " + list(chosen.size(), [&](std::size_t i) { return number(output.words[i][chosen[i]]); }, "[]") + "}";
    }
    const std::string all = list(output.values.size(), [&](std::size_t i) { return quoted(how.labels[i]) + ": " + number(output.values[i]); }, "{}");
    if (how.task == Task::multi_label)
        return "{\"labels\": " + list(chosen.size(), [&](std::size_t i) { return quoted(how.labels[chosen[i]]); }, "[]") + ", \"probabilities\": " + all + "}";
    return "{\"label\": " + quoted(how.labels[chosen[0]]) + ", \"score\": " + number(output.values[chosen[0]]) + ", \"probabilities\": " + all + "}";
}

// Reads lines, makes a Text of each and hands them on in chunks; what is wrong with a line is said with its number.
template <typename Check, typename Handle>
void stream(const Arguments& arguments, bool words, bool pairs, Check check, Handle handle) {
    std::vector<Text> texts;
    std::string line;
    std::size_t count = 0, bytes = 0;
    const auto next = [&] {
        try {
            if (!read_line(line)) return false;
            if (count == 0 && line.rfind("\xEF\xBB\xBF", 0) == 0) line.erase(0, 3);  // a byte order mark
            from_utf8(line);
            texts.push_back(arguments.json ? from_json(line, words) : from_line(line, words, pairs));
            check(texts.back());
        } catch (const Error& error) {
            throw Error("line " + std::to_string(count + 1) + ": " + error.what());
        }
        ++count;
        bytes += line.size();
        return true;
    };
    const auto flush = [&] {
        handle(texts);
        std::cout.flush();
        texts.clear();
        bytes = 0;
        if (!std::cout) throw Error("cannot write the results");
    };
    while (next())
        if (texts.size() == chunk || bytes >= chunk_bytes) flush();
    flush();
}

void print_ids(const Arguments& arguments) {
    const Tokenizer tokenizer(arguments.folder + "/tokenizer.bin");
    stream(arguments, tokenizer.takes_words(), false, [](const Text&) {}, [&](const std::vector<Text>& texts) {
        for (const Text& text : texts) {
            const auto rows = tokenizer.encode(text);
            std::cout << list(rows.size(), [&](std::size_t r) {
                return list(rows[r].ids.size(), [&](std::size_t i) { return std::to_string(rows[r].ids[i]); }, "[]");
            }, "[]") << '\n';
        }
    });
}

void classify(const Arguments& arguments) {
    const Classifier classifier(arguments.folder, arguments.options);
    const Description& how = classifier.description();
    const auto check = [&](const Text& text) { classifier.check(text); };
    stream(arguments, how.task == Task::tokens, how.pairs == Pairs::yes, check, [&](const std::vector<Text>& texts) {
        const auto outputs = classifier.predict(texts);
        for (std::size_t i = 0; i < texts.size(); ++i) std::cout << answer(classifier, texts[i], outputs[i]) << '\n';
    });
}

}  // namespace

int main(int count, char** values) {
    std::ios::sync_with_stdio(false);
    try {
        const Arguments arguments = parse(count, values);
        arguments.ids ? print_ids(arguments) : classify(arguments);
        return 0;
    } catch (const Error& error) {
        std::cerr << "toughen-cli: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "toughen-cli: " << error.what() << '\n';
        return 1;
    }
}
