// ONNX Runtime by its C interface: one graph with int64 inputs [rows, length] and float logits.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "toughen/classifier.h"

struct OrtRunOptions;

namespace toughen::core {

struct Batch {
    std::int64_t rows = 0, length = 0;
    std::vector<std::int64_t> ids, mask, types;  // [rows * length] each
};

// Stops passes from another thread.
class Cancel {
public:
    void now();
    // Throws Failure where it was cancelled.
    void check() const;
    // What runs, and no longer runs.
    void add(const OrtApi* api, OrtRunOptions* options);
    void remove(const OrtApi* api, OrtRunOptions* options);

private:
    std::atomic<bool> done_{false};
    std::mutex guard_;
    std::set<std::pair<const OrtApi*, OrtRunOptions*>> running_;
};

class Session {
public:
    // Of a file, or of a graph in memory where that is not empty; throws Failure.
    Session(const toughen_options& options, const std::string& path, std::string_view graph);
    ~Session();

    // What the exporter noted in the graph; empty where it noted nothing.
    std::string note() const;
    // Logits [rows * width]; throws Failure where the graph fails or returns another number of them.
    std::vector<float> run(Batch& batch, std::int64_t width, Cancel* cancel) const;

private:
    struct Ort;
    std::unique_ptr<Ort> ort_;
};

}  // namespace toughen::core
