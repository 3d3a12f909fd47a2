#include "toughen/classifier.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "session.hpp"
#include "toughen/json.hpp"

namespace toughen {
namespace {

Description describe(const std::string& note) {
    const Json json = Json::parse(note);
    using Kind = Json::Kind;
    const double format = json.at("format", Kind::number).number;
    if (format != 1) throw Error("it is of format " + std::to_string(static_cast<int>(format)) + ", and this program reads format 1");
    Description made;
    const std::string& task = json.at("task", Kind::string).string;
    const char* names[] = {"single-label", "multi-label", "regression", "tokens"};
    const auto* found = std::find(std::begin(names), std::end(names), task);
    if (found == std::end(names)) throw Error("its task " + task + " is unknown");
    made.task = static_cast<Task>(found - names);
    made.activation = json.at("activation", Kind::string).string;
    made.temperature = json.at("temperature", Kind::number).number;
    for (const Json& label : json.at("labels", Kind::array).array) made.labels.push_back(label.string);
    if (json.has("thresholds"))
        for (const Json& value : json.at("thresholds", Kind::array).array) made.thresholds.push_back(value.number);
    if (json.has("pairs")) made.pairs = json.at("pairs", Kind::boolean).boolean ? Pairs::yes : Pairs::no;
    const std::size_t thresholds = made.thresholds.size(), labels = made.labels.size();
    const bool fits = made.task == Task::multi_label ? thresholds == labels : thresholds == 1 && labels == 2;
    if (labels == 0 || (thresholds && !fits) || !(made.temperature > 0)) throw Error("its description makes no sense");
    return made;
}

void activate(const Description& how, const float* logits, std::vector<double>& into) {
    into.assign(logits, logits + how.labels.size());
    if (how.activation == "none") return;
    if (how.activation == "sigmoid") {
        for (double& value : into) value = 1 / (1 + std::exp(-value));
        return;
    }
    const double most = *std::max_element(into.begin(), into.end());
    double sum = 0;
    for (double& value : into) sum += value = std::exp(value - most);
    for (double& value : into) value /= sum;
}

// Divides log odds, or logarithms, by the temperature; what is 0 or 1 stays. As toughen.classifier.temperature has it.
void soften(const Description& how, std::vector<double>& values) {
    if (how.temperature == 1 || how.activation == "none" || values.empty()) return;
    const auto log = [](double p) { return std::log(std::max(p, 1e-300)); };
    if (how.activation == "sigmoid") {
        for (double& p : values)
            if (p > 0 && p < 1) p = 1 / (1 + std::exp((log(1 - p) - log(p)) / how.temperature));
        return;
    }
    const double most = log(*std::max_element(values.begin(), values.end()));
    double sum = 0;
    for (double& p : values) sum += p = p > 0 ? std::exp((log(p) - most) / how.temperature) : 0;
    for (double& p : values) p /= sum;
}

}  // namespace

struct Classifier::Engine {
    Tokenizer tokenizer;
    Session session;
    Description description;

    std::size_t batch;

    Engine(const std::string& folder, const Options& options)
        : tokenizer(folder + "/tokenizer.bin"),
          session(options.onnxruntime, folder + "/" + options.model, options.threads),
          batch(std::max<std::size_t>(1, options.batch)) {
        try {
            description = describe(session.note());
            if (tokenizer.takes_words() != (description.task == Task::tokens)) throw Error("its tokenizer is another model's");
        } catch (const Error& error) {
            throw Error("cannot use " + folder + "/" + options.model + ": " + error.what() + "; export the model again");
        }
    }

    struct Row {
        std::size_t text;
        Encoded tokens;
    };

    void check(const Text& text) const {
        if (description.pairs == Pairs::yes && !text.pair) throw Error("the model takes pairs of texts, and this is a single one");
        if (text.pair && (description.pairs == Pairs::no || description.task == Task::tokens))
            throw Error("the model takes single texts, and this is a pair");
    }

    std::vector<float> pass(const std::vector<const Row*>& rows, std::size_t length) const {
        Batch made;
        made.rows = static_cast<std::int64_t>(rows.size());
        made.length = static_cast<std::int64_t>(length);
        for (const Row* row : rows) {
            const auto add = [&](std::vector<std::int64_t>& to, const std::vector<std::int64_t>& values, std::int64_t fill) {
                const std::size_t empty = length - values.size();
                if (tokenizer.pads_left()) to.insert(to.end(), empty, fill);
                to.insert(to.end(), values.begin(), values.end());
                if (!tokenizer.pads_left()) to.insert(to.end(), empty, fill);
            };
            add(made.ids, row->tokens.ids, tokenizer.pad_id());
            add(made.mask, std::vector<std::int64_t>(row->tokens.ids.size(), 1), 0);
            add(made.types, row->tokens.types, tokenizer.pad_type());
        }
        const std::size_t width = description.labels.size() * (description.task == Task::tokens ? length : 1);
        return session.run(made, static_cast<std::int64_t>(width));
    }

    // Adds a row's logits to its text's output: the sum over windows, or the probabilities of the words it begins.
    void add(const Row& row, const float* logits, std::size_t length, Output& output) const {
        std::vector<double> values;
        if (description.task == Task::tokens) {
            const std::size_t shift = tokenizer.pads_left() ? length - row.tokens.ids.size() : 0;
            for (std::size_t i = 0; i < row.tokens.words.size(); ++i) {
                if (row.tokens.words[i] < 0) continue;
                activate(description, logits + (i + shift) * description.labels.size(), values);
                output.words[static_cast<std::size_t>(row.tokens.words[i])] = values;
            }
            return;
        }
        activate(description, logits, values);
        std::transform(values.begin(), values.end(), output.values.begin(), output.values.begin(), std::plus<>());
    }

    // What a word has that was cut off: "O", if there is such a label, else nothing is known.
    std::vector<double> unread() const {
        const auto outside = std::find(description.labels.begin(), description.labels.end(), "O");
        const std::size_t labels = description.labels.size();
        if (outside == description.labels.end()) return std::vector<double>(labels, 1.0 / static_cast<double>(labels));
        std::vector<double> made(labels, 0.0);
        made[static_cast<std::size_t>(outside - description.labels.begin())] = 1;
        return made;
    }
};

Classifier::Classifier(const std::string& folder, const Options& options) : engine_(std::make_unique<Engine>(folder, options)) {}
Classifier::~Classifier() = default;
const Description& Classifier::description() const { return engine_->description; }
const Tokenizer& Classifier::tokenizer() const { return engine_->tokenizer; }

void Classifier::check(const Text& text) const { engine_->check(text); }

std::vector<Output> Classifier::predict(const std::vector<Text>& texts) const {
    const bool words = engine_->description.task == Task::tokens;
    std::vector<Output> outputs(texts.size());
    std::vector<Engine::Row> rows;
    std::vector<double> windows(texts.size(), 0);
    for (std::size_t i = 0; i < texts.size(); ++i) {
        engine_->check(texts[i]);
        for (Encoded& tokens : engine_->tokenizer.encode(texts[i])) {
            // Without special tokens; padded to others' length, its answer would be an accident of the batch.
            if (tokens.ids.empty()) throw Error("a text has no tokens, and the model reads at least one");
            rows.push_back({i, std::move(tokens)});
            ++windows[i];
        }
        if (words)
            outputs[i].words.assign(texts[i].words.size(), engine_->unread());
        else
            outputs[i].values.assign(engine_->description.labels.size(), 0.0);
    }
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.tokens.ids.size() > b.tokens.ids.size(); });
    for (std::size_t start = 0; start < rows.size(); start += engine_->batch) {
        std::vector<const Engine::Row*> together;
        for (std::size_t i = start; i < std::min(rows.size(), start + engine_->batch); ++i) together.push_back(&rows[i]);
        const std::size_t length = rows[start].tokens.ids.size();
        const std::vector<float> logits = engine_->pass(together, length);
        const std::size_t each = logits.size() / together.size();
        for (std::size_t i = 0; i < together.size(); ++i)
            engine_->add(*together[i], logits.data() + i * each, length, outputs[together[i]->text]);
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        for (double& value : outputs[i].values) value /= windows[i];
        soften(engine_->description, outputs[i].values);
        for (auto& word : outputs[i].words) soften(engine_->description, word);
    }
    return outputs;
}

std::vector<std::size_t> Classifier::chosen(const Output& output) const {
    const Description& how = engine_->description;
    const auto likeliest = [](const std::vector<double>& row) { return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin()); };
    std::vector<std::size_t> made;
    if (how.task == Task::tokens) {
        for (const auto& row : output.words) made.push_back(likeliest(row));
    } else if (how.task == Task::multi_label) {
        for (std::size_t i = 0; i < output.values.size(); ++i)
            if (output.values[i] >= (how.thresholds.empty() ? 0.5 : how.thresholds[i])) made.push_back(i);
    } else if (how.task == Task::single_label) {
        made.push_back(how.thresholds.empty() ? likeliest(output.values) : output.values[1] >= how.thresholds[0]);
    }
    return made;
}

}  // namespace toughen
