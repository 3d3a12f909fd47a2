#include "engine.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "failure.hpp"

namespace toughen::core {
namespace {

void activate(const Description& how, const float* logits, double* into) {
    double* const end = std::copy(logits, logits + how.labels.size(), into);
    if (how.activation == TOUGHEN_NONE) return;
    if (how.activation == TOUGHEN_SIGMOID) {
        std::transform(into, end, into, [](double value) { return 1 / (1 + std::exp(-value)); });
        return;
    }
    const double most = *std::max_element(into, end);
    double sum = 0;
    for (double* value = into; value != end; ++value) sum += *value = std::exp(*value - most);
    std::transform(into, end, into, [sum](double value) { return value / sum; });
}

// Divides log odds, or logarithms, by the temperature; what is 0 or 1 stays. As toughen's own temperature has it.
void soften(const Description& how, double* values) {
    if (how.temperature == 1 || how.activation == TOUGHEN_NONE) return;
    double* const end = values + how.labels.size();
    const auto log = [](double p) { return std::log(std::max(p, 1e-300)); };
    if (how.activation == TOUGHEN_SIGMOID) {
        std::transform(values, end, values, [&](double p) {
            return p > 0 && p < 1 ? 1 / (1 + std::exp((log(1 - p) - log(p)) / how.temperature)) : p;
        });
        return;
    }
    const double most = log(*std::max_element(values, end));
    double sum = 0;
    for (double* p = values; p != end; ++p) sum += *p = *p > 0 ? std::exp((log(*p) - most) / how.temperature) : 0;
    std::transform(values, end, values, [sum](double p) { return p / sum; });
}

}  // namespace

// The rows of all texts, by the tokenizer's interface.
struct Engine::Encoding {
    toughen_encoding* held = nullptr;

    Encoding(const toughen_tokenizer* tokenizer, const toughen_text* texts, std::size_t count) {
        rethrow(toughen_tokenizer_encode(tokenizer, texts, count, &held));
    }
    ~Encoding() { toughen_encoding_free(held); }
    Encoding(const Encoding&) = delete;
    Encoding& operator=(const Encoding&) = delete;
    std::size_t rows() const { return toughen_encoding_rows(held); }
    std::size_t size(std::size_t row) const { return toughen_encoding_size(held, row); }
    std::size_t text(std::size_t row) const { return toughen_encoding_text(held, row); }
};

Engine::Engine(OwnTokenizer tokenizer, const toughen_options& options, const std::string& path, std::string_view graph)
    : tokenizer_(std::move(tokenizer)), batch_(options.batch), tokens_(options.tokens), session_(options, path, graph) {
    try {
        description_ = read_description(session_.note());
        const bool words = toughen_tokenizer_takes_words(tokenizer_.get()) != 0;
        const bool other = !description_.table.empty() && description_.table != toughen_tokenizer_sha256(tokenizer_.get());
        if (other || words != (description_.task == TOUGHEN_TOKENS)) throw Failure(TOUGHEN_BAD_FILE, "the tokenizer.bin beside it is another model's");
    } catch (const Failure& failure) {
        throw Failure(failure.code, "cannot use " + path + ": " + failure.what() + "; export the model again");
    }
}

void Engine::check(const toughen_text& text) const {
    const auto refuse = [](const char* why) { throw Failure(TOUGHEN_BAD_TEXT, why); };
    if (description_.task == TOUGHEN_TOKENS) {
        if (text.kind == TOUGHEN_PAIR) refuse("the model takes lists of words, and this is a pair");
        if (text.kind != TOUGHEN_WORDS) refuse("the model takes lists of words, and this is a text");
        return;
    }
    if (text.kind == TOUGHEN_WORDS) refuse("the model takes texts, and this is a list of words");
    if (description_.pairs == 1 && text.kind != TOUGHEN_PAIR) refuse("the model takes pairs of texts, and this is a single one");
    if (description_.pairs == 0 && text.kind == TOUGHEN_PAIR) refuse("the model takes single texts, and this is a pair");
}

// What a text has before it is read; of words a row for those that were cut off: "O", if there is such a label, else
// nothing is known.
Output Engine::unread(const toughen_text& text) const {
    const std::size_t labels = description_.labels.size();
    Output made;
    made.values.assign(labels, 0.0);
    made.row.assign(description_.task == TOUGHEN_TOKENS ? text.count : 1, 0);
    if (description_.task != TOUGHEN_TOKENS) return made;
    const auto outside = std::find(description_.labels.begin(), description_.labels.end(), "O");
    if (outside == description_.labels.end())
        made.values.assign(labels, 1.0 / static_cast<double>(labels));
    else
        made.values[static_cast<std::size_t>(outside - description_.labels.begin())] = 1;
    return made;
}

std::vector<std::size_t> Engine::sorted(const Encoding& rows) const {
    std::vector<std::size_t> order(rows.rows());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rows.size(a) > rows.size(b); });
    return order;
}

// How many rows go into a pass, of which the first is the longest.
std::size_t Engine::together(const Encoding& rows, const std::vector<std::size_t>& order, std::size_t start) const {
    const std::size_t fit = tokens_ ? std::max<std::size_t>(1, tokens_ / rows.size(order[start])) : batch_;
    return std::min({batch_, fit, order.size() - start});
}

std::vector<Output> Engine::predict(const toughen_text* texts, std::size_t count, Cancel* cancel) const {
    for (std::size_t i = 0; i < count; ++i) {
        try {
            check(texts[i]);
        } catch (const Failure& failure) {
            throw failure.of(i);
        }
    }
    const Encoding rows(tokenizer_.get(), texts, count);
    std::vector<Output> outputs;
    for (std::size_t i = 0; i < count; ++i) outputs.push_back(unread(texts[i]));
    std::vector<double> windows(count, 0);
    for (std::size_t row = 0; row < rows.rows(); ++row) {
        // Without special tokens; padded to others' length, its answer would be an accident of the batch.
        if (!rows.size(row)) throw Failure(TOUGHEN_BAD_TEXT, "the text has no tokens, and the model reads at least one", rows.text(row));
        ++windows[rows.text(row)];
    }
    const std::vector<std::size_t> order = sorted(rows);
    for (std::size_t start = 0, taken; start < order.size(); start += taken) {
        if (cancel) cancel->check();
        taken = together(rows, order, start);
        const std::vector<float> logits = pass(rows, &order[start], taken, cancel);
        const std::size_t each = logits.size() / taken;
        for (std::size_t i = 0; i < taken; ++i)
            add(rows, order[start + i], logits.data() + i * each, rows.size(order[start]), outputs[rows.text(order[start + i])]);
    }
    for (std::size_t i = 0; i < count; ++i) finish(outputs[i], windows[i], i);
    return outputs;
}

std::vector<float> Engine::pass(const Encoding& rows, const std::size_t* first, std::size_t count, Cancel* cancel) const {
    const std::size_t length = rows.size(*first);
    const bool left = toughen_tokenizer_pads_left(tokenizer_.get()) != 0;
    Batch made;
    made.rows = static_cast<std::int64_t>(count);
    made.length = static_cast<std::int64_t>(length);
    made.ids.assign(count * length, toughen_tokenizer_pad_id(tokenizer_.get()));
    made.mask.assign(count * length, 0);
    made.types.assign(count * length, toughen_tokenizer_pad_type(tokenizer_.get()));
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t size = rows.size(first[i]);
        const auto place = static_cast<std::ptrdiff_t>(i * length + (left ? length - size : 0));
        std::copy_n(toughen_encoding_ids(rows.held, first[i]), size, made.ids.begin() + place);
        std::fill_n(made.mask.begin() + place, size, 1);
        std::copy_n(toughen_encoding_types(rows.held, first[i]), size, made.types.begin() + place);
    }
    const std::size_t width = description_.labels.size() * (description_.task == TOUGHEN_TOKENS ? length : 1);
    return session_.run(made, static_cast<std::int64_t>(width), cancel);
}

// Adds a row's logits to its text's output: the sum over windows, or the probabilities of the words it begins.
void Engine::add(const Encoding& rows, std::size_t row, const float* logits, std::size_t length, Output& output) const {
    const std::size_t labels = description_.labels.size();
    if (description_.task != TOUGHEN_TOKENS) {
        std::vector<double> values(labels);
        activate(description_, logits, values.data());
        std::transform(values.begin(), values.end(), output.values.begin(), output.values.begin(), std::plus<>());
        return;
    }
    const std::size_t size = rows.size(row), shift = toughen_tokenizer_pads_left(tokenizer_.get()) ? length - size : 0;
    const std::int32_t* words = toughen_encoding_words(rows.held, row);
    for (std::size_t i = 0; i < size; ++i) {
        if (words[i] < 0) continue;
        output.row[static_cast<std::size_t>(words[i])] = output.values.size() / labels;
        output.values.resize(output.values.size() + labels);
        activate(description_, logits + (i + shift) * labels, &output.values[output.values.size() - labels]);
    }
}

void Engine::finish(Output& output, double windows, std::size_t text) const {
    const std::size_t labels = description_.labels.size();
    for (std::size_t at = 0; at < output.values.size(); at += labels) {
        double* values = &output.values[at];
        if (description_.task != TOUGHEN_TOKENS)
            for (std::size_t i = 0; i < labels; ++i) values[i] /= windows;
        soften(description_, values);
        if (!std::all_of(values, values + labels, [](double value) { return std::isfinite(value); }))
            throw Failure(TOUGHEN_MODEL_FAILED, "the model's answer is no number (NaN or infinity): its weights are broken; train or export it again", text);
        output.chosen.push_back(choose(values));
    }
    if (description_.task == TOUGHEN_SINGLE_LABEL) abstain(output);
}

// As toughen's own abstention has it, of the softened probabilities.
void Engine::abstain(Output& output) const {
    const std::vector<double>& values = output.values;
    output.abstained = description_.answered_from && values[output.chosen[0][0]] < *description_.answered_from;
    if (!description_.in_set_from) return;
    for (std::size_t i = 0; i < values.size(); ++i)
        if (values[i] >= *description_.in_set_from) output.set.push_back(i);
    std::stable_sort(output.set.begin(), output.set.end(), [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
}

std::vector<std::size_t> Engine::choose(const double* values) const {
    const std::size_t labels = description_.labels.size();
    const std::vector<double>& thresholds = description_.thresholds;
    std::vector<std::size_t> made;
    if (description_.task == TOUGHEN_MULTI_LABEL) {
        for (std::size_t i = 0; i < labels; ++i)
            if (values[i] >= (thresholds.empty() ? 0.5 : thresholds[i])) made.push_back(i);
    } else if (description_.task != TOUGHEN_REGRESSION) {
        const auto likeliest = static_cast<std::size_t>(std::max_element(values, values + labels) - values);
        made.push_back(thresholds.empty() ? likeliest : values[1] >= thresholds[0]);
    }
    return made;
}

}  // namespace toughen::core
