// A model and its tokenizer: texts to probabilities.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "description.hpp"
#include "session.hpp"

namespace toughen::core {

// The probabilities of a text, or of its words that were read; the others share a row.
struct Output {
    std::vector<double> values;                // [rows, labels]
    std::vector<std::size_t> row;              // of a text's one answer or of each word: the row of its values
    std::vector<std::vector<std::size_t>> chosen;  // of each row
    bool abstained = false;                        // whether the answer is not to be given
    std::vector<std::size_t> set;                  // the labels that may be right, the likeliest first
};

struct FreeTokenizer {
    void operator()(toughen_tokenizer* tokenizer) const { toughen_tokenizer_free(tokenizer); }
};
using OwnTokenizer = std::unique_ptr<toughen_tokenizer, FreeTokenizer>;

class Engine {
public:
    // path names the graph, which is read from there unless it is given in memory. Throws Failure.
    Engine(OwnTokenizer tokenizer, const toughen_options& options, const std::string& path, std::string_view graph);

    const Description& description() const { return description_; }
    const toughen_tokenizer* tokenizer() const { return tokenizer_.get(); }
    void check(const toughen_text& text) const;
    std::vector<Output> predict(const toughen_text* texts, std::size_t count, Cancel* cancel) const;

private:
    struct Encoding;
    Output unread(const toughen_text& text) const;
    std::vector<std::size_t> sorted(const Encoding& rows) const;
    std::size_t together(const Encoding& rows, const std::vector<std::size_t>& order, std::size_t start) const;
    std::vector<float> pass(const Encoding& rows, const std::size_t* first, std::size_t count, Cancel* cancel) const;
    void add(const Encoding& rows, std::size_t row, const float* logits, std::size_t length, Output& output) const;
    void finish(Output& output, double windows, std::size_t text) const;
    std::vector<std::size_t> choose(const double* values) const;
    void abstain(Output& output) const;

    OwnTokenizer tokenizer_;
    std::size_t batch_, tokens_;
    Session session_;
    Description description_;
};

}  // namespace toughen::core
