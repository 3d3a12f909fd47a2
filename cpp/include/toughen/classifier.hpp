// A model that `toughen export` wrote, on ONNX Runtime: texts in, probabilities out.
//
//     toughen::Classifier classify("exported");
//     auto outputs = classify.predict({toughen::Text::of("a very good film")});
//     // outputs[0].rows[0].values[i] is the probability of classify.description().labels[i]
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "toughen/classifier.h"
#include "toughen/tokenizer.hpp"

namespace toughen {

enum class Task { single_label, multi_label, regression, tokens };
enum class Activation { softmax, sigmoid, none };
enum class Pairs { unknown = -1, no, yes };

struct Description {
    Task task = Task::single_label;
    Activation activation = Activation::softmax;
    double temperature = 1;
    std::vector<std::string> labels;
    std::vector<double> thresholds;  // empty where the model has none
    Pairs pairs = Pairs::unknown;
    std::optional<double> answered_from;  // the probability from which an answer is given; empty: always
    std::optional<double> in_set_from;    // that from which a label is in the set; empty: no sets
};

struct Options {
    std::string model = "model.onnx";  // which file of the folder; model.int8.onnx where it was exported
    int threads = 0;                   // of one pass; 0 is one per core
    std::size_t batch = 32;            // rows per pass, at least 1
    std::size_t tokens = 0;            // of one pass, padding included; 0 is no limit
    std::string onnxruntime;           // shared library; empty: $ORT_LIB, else libonnxruntime.so.1, libonnxruntime.so
    const OrtApi* ort_api = nullptr;   // the caller's own ONNX Runtime, instead of a library
    const OrtSessionOptions* session_options = nullptr;  // made with ort_api: providers, threads, optimisation
    toughen_log log = nullptr;                           // gets ONNX Runtime's messages
    void* log_user = nullptr;
};

// What is predicted for a text, or for a word of it.
struct Prediction {
    std::vector<double> values;       // a probability per label; of regression the value
    std::vector<std::size_t> chosen;  // the labels predicted: one, of multi-label any number, of regression none
};

struct Output {
    std::vector<Prediction> rows;   // one; of words one for each
    bool abstained = false;         // whether the answer is not to be given: its probability is too low
    std::vector<std::size_t> set;   // the labels that may be right, the likeliest first; where the model has in_set_from
};

// Stops a prediction from another thread.
class Cancel {
public:
    Cancel() : handle_(toughen_cancel_make()) {}
    ~Cancel() { toughen_cancel_free(handle_); }
    Cancel(const Cancel&) = delete;
    Cancel& operator=(const Cancel&) = delete;
    void now() { toughen_cancel_now(handle_); }

private:
    friend class Classifier;
    toughen_cancel* handle_;
};

class Classifier {
public:
    // Throws Error where the folder or ONNX Runtime cannot be used.
    explicit Classifier(const std::string& folder, const Options& options = {}) : tokenizer_(nullptr) {
        const toughen_options given = plain(options);
        open(toughen_classifier_open(folder.c_str(), &given, &handle_));
    }
    // A graph and its tokenizer table from memory.
    Classifier(std::string_view graph, std::string_view table, const Options& options = {}) : tokenizer_(nullptr) {
        const toughen_options given = plain(options);
        open(toughen_classifier_from_memory(graph.data(), graph.size(), table.data(), table.size(), &given, &handle_));
    }
    ~Classifier() { toughen_classifier_free(handle_); }
    Classifier(Classifier&& other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)), tokenizer_(std::move(other.tokenizer_)),
          description_(std::move(other.description_)) {}
    Classifier& operator=(Classifier&& other) noexcept {
        std::swap(handle_, other.handle_);
        std::swap(tokenizer_, other.tokenizer_);
        std::swap(description_, other.description_);
        return *this;
    }

    const Description& description() const { return description_; }
    const Tokenizer& tokenizer() const { return tokenizer_; }
    // Throws Error where the model does not take texts of this kind.
    void check(const Text& text) const {
        const std::vector<Text> texts{text};
        const TextViews views(texts);
        toughen::check(toughen_classifier_check(handle_, views.data()));
    }
    // One output per text, in their order; rows of similar length run together. May be called from several threads.
    // Throws Error, with the text's index where it is about one: not UTF-8, without tokens, or refused by check.
    std::vector<Output> predict(const std::vector<Text>& texts, Cancel* cancel = nullptr) const {
        const TextViews views(texts);
        toughen_outputs* made = nullptr;
        toughen::check(toughen_classifier_predict(handle_, views.data(), views.size(), cancel ? cancel->handle_ : nullptr, &made));
        const std::unique_ptr<toughen_outputs, void (*)(toughen_outputs*)> owned(made, toughen_outputs_free);
        std::vector<Output> outputs(texts.size());
        for (std::size_t text = 0; text < texts.size(); ++text) {
            const std::size_t rows = toughen_outputs_rows(made, text);
            for (std::size_t row = 0; row < rows; ++row) {
                std::size_t count = 0;
                const double* values = toughen_outputs_values(made, text, row);
                const std::size_t* chosen = toughen_outputs_chosen(made, text, row, &count);
                outputs[text].rows.push_back({{values, values + description_.labels.size()}, {chosen, chosen + count}});
            }
            std::size_t count = 0;
            const std::size_t* set = toughen_outputs_set(made, text, &count);
            outputs[text].set.assign(set, set + count);
            outputs[text].abstained = toughen_outputs_abstained(made, text) != 0;
        }
        return outputs;
    }

private:
    static toughen_options plain(const Options& options) {
        toughen_options made;
        toughen_options_init(&made);
        made.model = options.model.c_str();
        made.threads = options.threads;
        made.batch = options.batch;
        made.tokens = options.tokens;
        made.onnxruntime = options.onnxruntime.empty() ? nullptr : options.onnxruntime.c_str();
        made.ort_api = options.ort_api;
        made.session_options = options.session_options;
        made.log = options.log;
        made.log_user = options.log_user;
        return made;
    }
    void open(toughen_status* status) {
        toughen::check(status);
        tokenizer_ = Tokenizer(toughen_classifier_tokenizer(handle_));
        description_.task = static_cast<Task>(toughen_classifier_task(handle_));
        description_.activation = static_cast<Activation>(toughen_classifier_activation(handle_));
        description_.temperature = toughen_classifier_temperature(handle_);
        description_.pairs = static_cast<Pairs>(toughen_classifier_pairs(handle_));
        for (std::size_t i = 0; i < toughen_classifier_labels(handle_); ++i)
            description_.labels.push_back(toughen_classifier_label(handle_, i));
        for (std::size_t i = 0; i < toughen_classifier_thresholds(handle_); ++i)
            description_.thresholds.push_back(toughen_classifier_threshold(handle_, i));
        double from = 0;
        if (toughen_classifier_answered_from(handle_, &from)) description_.answered_from = from;
        if (toughen_classifier_in_set_from(handle_, &from)) description_.in_set_from = from;
    }

    toughen_classifier* handle_ = nullptr;
    Tokenizer tokenizer_;
    Description description_;
};

}  // namespace toughen
