// ONNX Runtime, loaded when it is needed: one graph with int64 inputs [rows, length] and float logits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace toughen {

struct Batch {
    std::int64_t rows = 0, length = 0;
    std::vector<std::int64_t> ids, mask, types;  // [rows * length] each
};

class Session {
public:
    // Throws Error where the library or the graph cannot be loaded.
    Session(const std::string& library, const std::string& graph, int threads);
    ~Session();

    // What the exporter noted in the graph; empty where it noted nothing.
    std::string note() const;
    // Logits [rows * width]; throws Error where the graph fails or returns another number of them.
    std::vector<float> run(Batch& batch, std::int64_t width) const;

private:
    struct Ort;
    std::unique_ptr<Ort> ort_;
};

}  // namespace toughen
