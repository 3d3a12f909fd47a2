// What the C++ library promises, tried on an exported single-label model: library MODEL_DIR BROKEN_DIR WINDOWS_TABLE BYTES_TABLE
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <type_traits>

#include "toughen/classifier.hpp"

using namespace toughen;

namespace {

int failed = 0;

void expect(bool good, const char* what) {
    if (good) return;
    std::cerr << "wrong: " << what << "\n";
    ++failed;
}

void refuses(int code, std::size_t index, const char* part, const std::function<void()>& body) {
    try {
        body();
        std::cerr << "not refused: " << part << "\n";
        ++failed;
    } catch (const Error& error) {
        const bool good = error.code() == code && error.index() == index && std::string(error.what()).find(part) != std::string::npos;
        if (good) return;
        std::cerr << "wrong: " << error.code() << " " << error.index() << " " << error.what() << ", not " << part << "\n";
        ++failed;
    }
}

std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int, char** values) {
    const std::string folder = values[1], broken = values[2];
    static_assert(std::is_nothrow_move_constructible_v<Classifier> && std::is_nothrow_move_assignable_v<Classifier>);
    static_assert(!std::is_default_constructible_v<Text>);

    Classifier first(folder);
    Classifier classify(std::move(first));
    const auto one = [&](const Text& text) { return classify.predict({text})[0].rows[0].values; };
    const auto wanted = one(Text::of("a good film"));
    expect(wanted.size() == 2 && wanted[0] != wanted[1], "two labels");

    // A text that does not fit is refused, and says which it is.
    const Text good = Text::of("good");
    refuses(TOUGHEN_BAD_TEXT, 1, "list of words", [&] { classify.predict({good, Text::words({"a", "b"})}); });
    refuses(TOUGHEN_BAD_TEXT, 2, "not UTF-8 (byte 2)", [&] { classify.predict({good, good, Text::of("a\xff")}); });
    refuses(TOUGHEN_BAD_TEXT, Error::no_index, "list of words", [&] { classify.check(Text::words({"a"})); });
    refuses(TOUGHEN_BAD_TEXT, 0, "list of words", [&] { classify.tokenizer().encode({Text::words({"a"})}); });
    expect(classify.predict({}).empty(), "no texts");

    // Options are checked, and each classifier has its own ONNX Runtime.
    const auto with = [&](const std::function<void(Options&)>& set) {
        return [&, set] {
            Options options;
            set(options);
            Classifier other(folder, options);
        };
    };
    refuses(TOUGHEN_BAD_ARGUMENT, Error::no_index, "threads", with([](Options& options) { options.threads = -3; }));
    refuses(TOUGHEN_BAD_ARGUMENT, Error::no_index, "batch", with([](Options& options) { options.batch = 0; }));
    refuses(TOUGHEN_NO_RUNTIME, Error::no_index, "/nothing.so", with([](Options& options) { options.onnxruntime = "/nothing.so"; }));
    refuses(TOUGHEN_BAD_FILE, Error::no_index, "other.onnx", with([](Options& options) { options.model = "other.onnx"; }));

    // Files that are none.
    refuses(TOUGHEN_BAD_FILE, Error::no_index, "directory", [&] { Tokenizer tokenizer(folder); });
    refuses(TOUGHEN_BAD_FILE, Error::no_index, "cannot read", [&] { Tokenizer tokenizer(folder + "/nothing"); });

    // From memory, with a budget of tokens a pass.
    Options small;
    small.tokens = 1;
    const std::string graph = content(folder + "/model.onnx"), table = content(folder + "/tokenizer.bin");
    const Classifier memory(graph, table, small);
    const auto both = memory.predict({Text::of("a good film"), Text::of("bad")});
    expect(std::abs(both[0].rows[0].values[0] - wanted[0]) < 1e-6, "the same from memory");

    Cancel cancel;
    cancel.now();
    refuses(TOUGHEN_CANCELLED, Error::no_index, "cancelled", [&] { classify.predict({good}, &cancel); });

    // Weights that are no numbers.
    const Classifier infinite(broken);
    refuses(TOUGHEN_MODEL_FAILED, 0, "no number", [&] { infinite.predict({good}); });

    classify = Classifier(folder);
    expect(one(Text::of("a good film")) == wanted, "the same after a move");
    expect(classify.tokenizer().sha256().size() == 64 && classify.tokenizer().token(classify.tokenizer().ids("good")[0]) == "good", "the tokenizer");

    // A table of version 1 has ids alone.
    refuses(TOUGHEN_BAD_FILE, Error::no_index, "version 1, which has ids alone", [&] { classify.tokenizer().encode({good}, Details::all); });
    refuses(TOUGHEN_BAD_FILE, Error::no_index, "version 1, which has ids alone", [&] { classify.tokenizer().decode({1}); });

    const Tokenizer windows(values[3]), bytes(values[4]);
    const std::string text = "a very good film a very good film a very good film a very good film a very good film";
    const auto rows = windows.encode({good, Text::of(text)}, Details::all);
    expect(rows.size() == 3 && rows[0].text == 0 && rows[2].text == 1, "windows");
    for (const Encoded& row : rows) {
        const std::string& whole = row.text ? text : good.parts()[0];
        expect(row.offsets.size() == row.ids.size() && row.tokens.size() == row.ids.size() && row.parts.size() == row.ids.size(), "every column");
        for (std::size_t i = 0; i < row.ids.size(); ++i) {
            const bool special = row.parts[i] < 0;
            expect(whole.substr(row.offsets[i].begin, row.offsets[i].end - row.offsets[i].begin) == (special ? "" : row.tokens[i]), "a token's place");
        }
    }
    const auto pair = windows.whole({"good", text}, Details::ids);
    expect(pair.size() == 2 && pair[1].ids.size() == 20 && pair[1].offsets.empty() && pair[0].ids == windows.ids("good"), "whole texts");
    expect(windows.decode_batch({rows[0].ids, {}}).size() == 2 && windows.decode(rows[0].ids) == "good", "decoded");
    expect(windows.decode(rows[0].ids, false) == "[CLS] good [SEP]", "decoded with special tokens");
    expect(bytes.decode({0xC3, 0xA9, 0xE2, 0x82}) == "\xC3\xA9\xEF\xBF\xBD", "bytes that are no text");
    refuses(TOUGHEN_BAD_ARGUMENT, 1, "the id -1", [&] { windows.decode_batch({{1}, {-1}}); });
    if (!failed) std::cout << "as promised\n";
    return failed != 0;
}
