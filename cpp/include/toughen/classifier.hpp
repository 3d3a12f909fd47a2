// A model that `toughen export` wrote, on ONNX Runtime: texts in, probabilities out.
//
//     toughen::Classifier classify("exported");
//     auto outputs = classify.predict({{"a very good film", "", false, {}}});
//     // outputs[0].values[i] is the probability of classify.description().labels[i]
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "toughen/error.hpp"
#include "toughen/tokenizer.hpp"

namespace toughen {

enum class Task { single_label, multi_label, regression, tokens };
enum class Pairs { unknown, no, yes };

struct Description {
    Task task = Task::single_label;
    std::string activation;  // softmax, sigmoid or none
    double temperature = 1;
    std::vector<std::string> labels;
    std::vector<double> thresholds;  // empty where the model has none
    Pairs pairs = Pairs::unknown;
};

struct Options {
    std::string model = "model.onnx";  // which file of the folder; model.int8.onnx where it was exported
    int threads = 0;                   // of one pass; 0 is one per core
    std::size_t batch = 32;            // rows per pass
    std::string onnxruntime;           // shared library; empty: $ORT_LIB, else libonnxruntime.so.1, libonnxruntime.so
};

struct Output {
    std::vector<double> values;              // a probability per label; regression: the value
    std::vector<std::vector<double>> words;  // tokens: a probability per label for each word
};

class Classifier {
public:
    // Throws Error where the folder or ONNX Runtime cannot be used.
    explicit Classifier(const std::string& folder, const Options& options = {});
    ~Classifier();

    const Description& description() const;
    const Tokenizer& tokenizer() const;
    // Throws Error where a text is no pair and the model takes pairs, or the reverse.
    void check(const Text& text) const;
    // One output per text, in their order; rows of similar length run together. May be called from several threads.
    // Throws Error where a text is not UTF-8, has no tokens, or is one that check refuses.
    std::vector<Output> predict(const std::vector<Text>& texts) const;
    // The labels predicted: one, for multi-label any number, for words one each; positions in description().labels.
    std::vector<std::size_t> chosen(const Output& output) const;

private:
    struct Engine;
    std::unique_ptr<Engine> engine_;
};

}  // namespace toughen
