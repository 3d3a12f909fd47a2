// What a graph's metadata says of the model (cpp/graph-metadata.md), read and refused where it makes no sense.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "toughen/classifier.h"

namespace toughen::core {

struct Description {
    toughen_task task = TOUGHEN_SINGLE_LABEL;
    toughen_activation activation = TOUGHEN_SOFTMAX;
    double temperature = 1;
    std::vector<std::string> labels;
    std::vector<double> thresholds;  // empty where the model has none
    std::optional<double> answered_from;  // the probability from which an answer is given; always, where it has none
    std::optional<double> in_set_from;    // that from which a label may be right; no sets, where it has none
    int pairs = -1;                  // 1, 0, or not known
    std::string table;               // SHA-256 of its tokenizer table; empty in exports that do not say
};

// Throws Failure.
Description read_description(const std::string& note);

}  // namespace toughen::core
