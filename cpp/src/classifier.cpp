// The C interface of the classifier.
#include "toughen/classifier.h"

#include <cstddef>
#include <cstring>
#include <optional>
#include <string>

#include "engine.hpp"
#include "failure.hpp"

using toughen::core::guarded;
using toughen::core::require;

struct toughen_classifier {
    toughen::core::Engine engine;
};
struct toughen_cancel {
    toughen::core::Cancel cancel;
};
struct toughen_outputs {
    std::size_t labels;
    std::vector<toughen::core::Output> outputs;
};

namespace {

using namespace toughen::core;

toughen_options read_options(const toughen_options* given) {
    toughen_options made;
    toughen_options_init(&made);
    if (given) {
        require(given->size >= offsetof(toughen_options, threads) && given->size <= sizeof made, "the options were not filled by toughen_options_init");
        std::memcpy(&made, given, given->size);
    }
    require(made.model && *made.model, "the option model is empty");
    require(made.threads >= 0 && made.threads <= 4096, "the option threads must be from 0 to 4096");
    require(made.batch >= 1 && made.batch <= 65536, "the option batch must be from 1 to 65536");
    require(!made.session_options || made.ort_api, "session_options come with the ort_api that made them");
    require(!made.ort_api || !made.onnxruntime, "ort_api and onnxruntime are two ways to say the same; give one of them");
    return made;
}

void check_texts(const toughen_text* texts, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t parts = texts[i].kind == TOUGHEN_PAIR ? 2 : 1;
        if (texts[i].kind < TOUGHEN_SINGLE || texts[i].kind > TOUGHEN_WORDS || (texts[i].kind != TOUGHEN_WORDS && texts[i].count != parts))
            throw Failure(TOUGHEN_BAD_ARGUMENT, "the text's kind is unknown, or has another number of parts", i);
    }
}

int tell(const std::optional<double>& value, double* into) {
    if (value && into) *into = *value;
    return value.has_value();
}

}  // namespace

extern "C" {

void toughen_options_init(toughen_options* options) {
    *options = toughen_options{};
    options->size = sizeof(toughen_options);
    options->model = "model.onnx";
    options->batch = 32;
}

toughen_status* toughen_classifier_open(const char* folder, const toughen_options* options, toughen_classifier** made) {
    return guarded([&] {
        require(folder && made, "a folder or a place for the classifier is missing");
        *made = nullptr;
        const toughen_options known = read_options(options);
        toughen_tokenizer* tokenizer = nullptr;
        rethrow(toughen_tokenizer_open((std::string(folder) + "/tokenizer.bin").c_str(), &tokenizer));
        *made = new toughen_classifier{{toughen::core::OwnTokenizer(tokenizer), known, std::string(folder) + "/" + known.model, {}}};
    });
}
toughen_status* toughen_classifier_from_memory(const void* graph, size_t graph_size, const void* table, size_t table_size,
                                               const toughen_options* options, toughen_classifier** made) {
    return guarded([&] {
        require(graph && graph_size && table && made, "a graph, a table or a place for the classifier is missing");
        *made = nullptr;
        const toughen_options known = read_options(options);
        toughen_tokenizer* tokenizer = nullptr;
        rethrow(toughen_tokenizer_from_memory(table, table_size, &tokenizer));
        *made = new toughen_classifier{{toughen::core::OwnTokenizer(tokenizer), known, "the graph", {static_cast<const char*>(graph), graph_size}}};
    });
}
void toughen_classifier_free(toughen_classifier* classifier) { delete classifier; }

int toughen_classifier_task(const toughen_classifier* classifier) { return classifier->engine.description().task; }
int toughen_classifier_activation(const toughen_classifier* classifier) { return classifier->engine.description().activation; }
double toughen_classifier_temperature(const toughen_classifier* classifier) { return classifier->engine.description().temperature; }
int toughen_classifier_pairs(const toughen_classifier* classifier) { return classifier->engine.description().pairs; }
size_t toughen_classifier_labels(const toughen_classifier* classifier) { return classifier->engine.description().labels.size(); }
const char* toughen_classifier_label(const toughen_classifier* classifier, size_t label) {
    return classifier->engine.description().labels[label].c_str();
}
size_t toughen_classifier_thresholds(const toughen_classifier* classifier) { return classifier->engine.description().thresholds.size(); }
double toughen_classifier_threshold(const toughen_classifier* classifier, size_t place) { return classifier->engine.description().thresholds[place]; }
int toughen_classifier_answered_from(const toughen_classifier* classifier, double* probability) {
    return tell(classifier->engine.description().answered_from, probability);
}
int toughen_classifier_in_set_from(const toughen_classifier* classifier, double* probability) {
    return tell(classifier->engine.description().in_set_from, probability);
}
const toughen_tokenizer* toughen_classifier_tokenizer(const toughen_classifier* classifier) { return classifier->engine.tokenizer(); }

toughen_cancel* toughen_cancel_make(void) { return new (std::nothrow) toughen_cancel; }
void toughen_cancel_now(toughen_cancel* cancel) {
    if (cancel) cancel->cancel.now();
}
void toughen_cancel_free(toughen_cancel* cancel) { delete cancel; }

toughen_status* toughen_classifier_check(const toughen_classifier* classifier, const toughen_text* text) {
    return guarded([&] {
        require(classifier && text, "a classifier or a text is missing");
        check_texts(text, 1);
        classifier->engine.check(*text);
    });
}
toughen_status* toughen_classifier_predict(const toughen_classifier* classifier, const toughen_text* texts, size_t count, toughen_cancel* cancel,
                                           toughen_outputs** made) {
    return guarded([&] {
        require(classifier && (texts || !count) && made, "a classifier, texts or a place for the outputs is missing");
        *made = nullptr;
        check_texts(texts, count);
        auto outputs = classifier->engine.predict(texts, count, cancel ? &cancel->cancel : nullptr);
        *made = new toughen_outputs{classifier->engine.description().labels.size(), std::move(outputs)};
    });
}
void toughen_outputs_free(toughen_outputs* outputs) { delete outputs; }
size_t toughen_outputs_rows(const toughen_outputs* outputs, size_t text) { return outputs->outputs[text].row.size(); }
const double* toughen_outputs_values(const toughen_outputs* outputs, size_t text, size_t row) {
    const Output& output = outputs->outputs[text];
    return &output.values[output.row[row] * outputs->labels];
}
const size_t* toughen_outputs_chosen(const toughen_outputs* outputs, size_t text, size_t row, size_t* count) {
    const Output& output = outputs->outputs[text];
    const auto& chosen = output.chosen[output.row[row]];
    *count = chosen.size();
    return chosen.data();
}
int toughen_outputs_abstained(const toughen_outputs* outputs, size_t text) { return outputs->outputs[text].abstained; }
const size_t* toughen_outputs_set(const toughen_outputs* outputs, size_t text, size_t* count) {
    const auto& set = outputs->outputs[text].set;
    *count = set.size();
    return set.data();
}

}  // extern "C"
