// toughen-cli MODEL_DIR < texts > results: a text per line in, a JSON object per line out.
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "failure.hpp"
#include "json.hpp"
#include "lines.hpp"
#include "toughen/classifier.hpp"

namespace {

using namespace toughen;
using core::Failure;
using core::Wanted;
using core::quoted;

constexpr std::size_t chunk = 512;                    // texts that are read, sorted by length and answered together,
constexpr std::size_t chunk_bytes = 4 * 1024 * 1024;  // or fewer where they are longer than this together

const char* usage =
    "usage: toughen-cli MODEL_DIR [--model FILE] [--threads N] [--batch N] [--json] [--ids] [--tokens]\n"
    "                   [--line-buffered] [--ort LIBRARY] < texts > results\n"
    "  A text per line, of pairs both texts with a tab between them; an answer per line, a JSON object.\n"
    "  --model FILE     another graph of the folder, such as model.int8.onnx\n"
    "  --threads N      of one pass; default: one per core\n"
    "  --batch N        rows per pass; default: 32\n"
    "  --json           a JSON value per line: a string, a list of two strings for a pair, a list of words to be tagged\n"
    "  --ids            print token ids only; needs no ONNX Runtime\n"
    "  --tokens         print ids, tokens, their places in bytes, and the text that the ids stand for, as JSON\n"
    "  --line-buffered  answer each line before the next is read, for programs that wait for an answer\n"
    "  --ort LIBRARY    ONNX Runtime's shared library; default: $ORT_LIB, else the system's\n"
    "  --help, --version\n"
    "Exit status: 0 done, 2 your input is wrong (one sentence on stderr), 3 there is no memory or the results cannot be\n"
    "written, 1 anything else.";

struct Arguments {
    std::string folder;
    Options options;
    bool json = false, ids = false, tokens = false, line_buffered = false;
};

struct Said {};  // --help or --version

// What is wrong with the machine and not with what was given.
struct Environment : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] void refuse(const std::string& why) { throw Failure(TOUGHEN_BAD_ARGUMENT, why); }

long whole_number(const std::string& name, const std::string& value, long least) {
    char* end = nullptr;
    const long number = std::strtol(value.c_str(), &end, 10);
    if (value.empty() || *end || number < least || number > 4096)
        refuse(name + " must be a whole number from " + std::to_string(least) + " to 4096, got \"" + value + "\"");
    return number;
}

Arguments parse(int count, char** values) {
    Arguments made;
    for (int i = 1; i < count; ++i) {
        const std::string name = values[i];
        const auto value = [&]() -> std::string {
            if (i + 1 == count) refuse(name + " needs a value; --help shows the options");
            return values[++i];
        };
        if (name == "--json") made.json = true;
        else if (name == "--ids") made.ids = true;
        else if (name == "--tokens") made.tokens = true;
        else if (name == "--line-buffered") made.line_buffered = true;
        else if (name == "--help" || name == "-h") throw (std::cout << usage << '\n', Said());
        else if (name == "--version") throw (std::cout << "toughen-cli " << toughen_version() << '\n', Said());
        else if (name == "--model") made.options.model = value();
        else if (name == "--ort") made.options.onnxruntime = value();
        else if (name == "--threads") made.options.threads = static_cast<int>(whole_number(name, value(), 0));
        else if (name == "--batch") made.options.batch = static_cast<std::size_t>(whole_number(name, value(), 1));
        else if (name.rfind("--", 0) == 0 || !made.folder.empty()) refuse("unknown argument " + name + "; --help shows the options");
        else made.folder = name;
    }
    if (made.folder.empty()) refuse("name the folder that toughen export wrote; --help shows the options");
    return made;
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", value);
    return text;
}

std::string list(std::size_t count, const std::function<std::string(std::size_t)>& item, const char* brackets) {
    std::string made(1, brackets[0]);
    for (std::size_t i = 0; i < count; ++i) made += (i ? ", " : "") + item(i);
    return made + brackets[1];
}

std::string answer(const Description& how, const Text& text, const Output& output) {
    const auto label = [&](std::size_t row) { return output.rows[row].chosen[0]; };
    if (how.task == Task::tokens) {
        const std::size_t words = output.rows.size();
        return "{\"words\": " + list(words, [&](std::size_t i) { return quoted(text.parts()[i]); }, "[]") +
               ", \"tags\": " + list(words, [&](std::size_t i) { return quoted(how.labels[label(i)]); }, "[]") +
               ", \"scores\": " + list(words, [&](std::size_t i) { return number(output.rows[i].values[label(i)]); }, "[]") + "}";
    }
    const auto& [values, chosen] = output.rows[0];
    if (how.task == Task::regression) return "{\"score\": " + number(values[0]) + "}";
    const auto& probabilities = values;
    const std::string all = list(values.size(), [&](std::size_t i) { return quoted(how.labels[i]) + ": " + number(probabilities[i]); }, "{}");
    const auto& labels = chosen;
    if (how.task == Task::multi_label)
        return "{\"labels\": " + list(chosen.size(), [&](std::size_t i) { return quoted(how.labels[labels[i]]); }, "[]") + ", \"probabilities\": " + all + "}";
    const std::string abstained = how.answered_from ? std::string(", \"abstained\": ") + (output.abstained ? "true" : "false") : "";
    const std::string set = how.in_set_from ? ", \"label_set\": " + list(output.set.size(), [&](std::size_t i) { return quoted(how.labels[output.set[i]]); }, "[]") : "";
    return "{\"label\": " + quoted(how.labels[chosen[0]]) + ", \"score\": " + number(values[chosen[0]]) + ", \"probabilities\": " + all + abstained + set + "}";
}

// Reads lines, makes a Text of each and hands them on in chunks; what is wrong with a line is said with its number.
template <typename Check, typename Handle>
void stream(const Arguments& arguments, Wanted wanted, Check check, Handle handle) {
    core::Lines lines(std::cin.rdbuf());
    std::vector<Text> texts;
    std::string line;
    std::size_t count = 0, bytes = 0;
    const auto named = [](std::size_t number, const char* why) { return "line " + std::to_string(number) + ": " + why; };
    const auto next = [&] {
        try {
            if (!lines.next(line)) return false;
            texts.push_back(arguments.json ? core::text_of_json(line, wanted) : core::text_of_line(line, wanted));
            check(texts.back());
        } catch (const Failure& failure) {
            throw Failure(failure.code, named(count + 1, failure.what()));
        } catch (const Error& error) {
            throw Failure(error.code(), named(count + 1, error.what()));
        }
        ++count;
        bytes += line.size();
        return true;
    };
    const auto flush = [&] {
        try {
            handle(texts);
        } catch (const Error& error) {
            if (error.index() == Error::no_index) throw;
            throw Failure(error.code(), named(count - texts.size() + error.index() + 1, error.what()));
        }
        std::cout.flush();
        texts.clear();
        bytes = 0;
        if (!std::cout) throw Environment("cannot write the results");
    };
    while (next())
        if (arguments.line_buffered || texts.size() == chunk || bytes >= chunk_bytes) flush();
    flush();
}

std::string ids_of(const Encoded& row) {
    return list(row.ids.size(), [&](std::size_t i) { return std::to_string(row.ids[i]); }, "[]");
}

std::string tokens_of(const Tokenizer& tokenizer, const Encoded& row) {
    const auto all = [&](const auto& item) { return list(row.ids.size(), item, "[]"); };
    const auto place = [&](std::size_t i) { return "[" + std::to_string(row.offsets[i].begin) + ", " + std::to_string(row.offsets[i].end) + "]"; };
    return "{\"ids\": " + ids_of(row) + ", \"tokens\": " + all([&](std::size_t i) { return quoted(row.tokens[i]); }) + ", \"offsets\": " + all(place) +
           ", \"parts\": " + all([&](std::size_t i) { return std::to_string(row.parts[i]); }) + ", \"text\": " + quoted(tokenizer.decode(row.ids)) + "}";
}

void print_rows(const Arguments& arguments) {
    const Tokenizer tokenizer(arguments.folder + "/tokenizer.bin");
    const auto print = [&](const std::vector<Text>& texts) {
        const auto rows = tokenizer.encode(texts, arguments.tokens ? Details::all : Details::ids);
        for (std::size_t row = 0; row < rows.size(); ++row) {
            const bool first = row == 0 || rows[row - 1].text != rows[row].text, last = row + 1 == rows.size() || rows[row + 1].text != rows[row].text;
            std::cout << (first ? "[" : ", ") << (arguments.tokens ? tokens_of(tokenizer, rows[row]) : ids_of(rows[row])) << (last ? "]\n" : "");
        }
    };
    stream(arguments, tokenizer.takes_words() ? Wanted::words : Wanted::texts, [](const Text&) {}, print);
}

void classify(const Arguments& arguments) {
    const Classifier classifier(arguments.folder, arguments.options);
    const Description& how = classifier.description();
    const Wanted wanted = how.task == Task::tokens ? Wanted::words : how.pairs == Pairs::yes ? Wanted::pairs : Wanted::texts;
    stream(arguments, wanted, [&](const Text& text) { classifier.check(text); }, [&](const std::vector<Text>& texts) {
        const auto outputs = classifier.predict(texts);
        for (std::size_t i = 0; i < texts.size(); ++i) std::cout << answer(how, texts[i], outputs[i]) << '\n';
    });
}

int say(const char* why, int status) {
    std::cerr << "toughen-cli: " << why << '\n';
    return status;
}

int status_of(int code) { return code == TOUGHEN_NO_MEMORY ? 3 : code == TOUGHEN_INTERNAL ? 1 : 2; }

}  // namespace

int main(int count, char** values) {
    std::ios::sync_with_stdio(false);
    try {
        const Arguments arguments = parse(count, values);
        arguments.ids || arguments.tokens ? print_rows(arguments) : classify(arguments);
        return 0;
    } catch (const Said&) {
        return 0;
    } catch (const Failure& failure) {
        return say(failure.what(), status_of(failure.code));
    } catch (const Error& error) {
        return say(error.what(), status_of(error.code()));
    } catch (const Environment& error) {
        return say(error.what(), 3);
    } catch (const std::bad_alloc&) {
        return say("there is not enough memory", 3);
    } catch (const std::exception& error) {
        return say(error.what(), 1);
    }
}
