// embed MODEL_DIR TEXT: the text's label and its probability.
#include <iostream>

#include "toughen/classifier.hpp"

int main(int count, char** values) {
    if (count != 3) return std::cerr << "usage: embed MODEL_DIR TEXT\n", 2;
    try {
        const toughen::Classifier classify(values[1]);
        const auto outputs = classify.predict({toughen::Text::of(values[2])});
        const toughen::Prediction& said = outputs[0].rows[0];
        for (const std::size_t label : said.chosen) std::cout << classify.description().labels[label] << " " << said.values[label] << "\n";
    } catch (const toughen::Error& error) {
        std::cerr << error.what() << "\n";
        return 2;
    }
}
