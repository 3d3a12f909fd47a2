// The program is not linked with ONNX Runtime, which would tie it to one release: the library is opened by name, and
// any that has the C interface of the headers' version, or a newer one, will do.
#define ORT_API_MANUAL_INIT
#include "session.hpp"

#include <dlfcn.h>
#include <onnxruntime_cxx_api.h>

#include <cstdlib>
#include <mutex>

#include "toughen/error.hpp"

namespace toughen {
namespace {

std::string first_line(const char* text) {
    const std::string all(text ? text : "no reason given");
    return all.substr(0, all.find('\n'));
}

const OrtApi* open_library(const std::string& named) {
    const char* set = std::getenv("ORT_LIB");
    std::vector<std::string> names{"libonnxruntime.so.1", "libonnxruntime.so"};
    if (!named.empty())
        names = {named};
    else if (set && *set)
        names = {set};
    void* library = nullptr;
    std::string why;
    for (const std::string& name : names) {
        if ((library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL))) break;
        why = first_line(dlerror());
    }
    if (!library) throw Error("cannot load ONNX Runtime (" + why + "); name its shared library in ORT_LIB");
    const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
    if (!base) throw Error("the library that ORT_LIB or --ort names is not ONNX Runtime (it has no OrtGetApiBase)");
    const OrtApi* api = base()->GetApi(ORT_API_VERSION);
    if (!api)
        throw Error(std::string("ONNX Runtime ") + base()->GetVersionString() + " is too old; 1." + std::to_string(ORT_API_VERSION) + " or newer is needed");
    return api;
}

void initialise(const std::string& named) {
    static std::mutex guard;
    static bool done = false;
    const std::lock_guard<std::mutex> lock(guard);
    if (done) return;
    Ort::InitApi(open_library(named));
    done = true;
}

Ort::SessionOptions options(int threads) {
    Ort::SessionOptions made;
    made.SetIntraOpNumThreads(threads);
    made.SetLogSeverityLevel(4);
    return made;
}

}  // namespace

struct Session::Ort {
    ::Ort::Env env{ORT_LOGGING_LEVEL_FATAL, "toughen"};
    ::Ort::Session session{nullptr};
    ::Ort::MemoryInfo memory{nullptr};
    bool types = false;  // whether the graph has token types
};

Session::Session(const std::string& library, const std::string& graph, int threads) {
    initialise(library);
    try {
        ort_ = std::make_unique<Ort>();
        ort_->session = ::Ort::Session(ort_->env, graph.c_str(), options(threads));
        ort_->memory = ::Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        ::Ort::AllocatorWithDefaultOptions allocator;
        for (std::size_t i = 0; i < ort_->session.GetInputCount(); ++i)
            if (std::string("token_type_ids") == ort_->session.GetInputNameAllocated(i, allocator).get()) ort_->types = true;
    } catch (const ::Ort::Exception& error) {
        throw Error("cannot use " + graph + ": " + first_line(error.what()));
    }
}

Session::~Session() = default;

std::string Session::note() const {
    ::Ort::AllocatorWithDefaultOptions allocator;
    const ::Ort::ModelMetadata metadata = ort_->session.GetModelMetadata();
    const auto found = metadata.LookupCustomMetadataMapAllocated("toughen", allocator);
    return found ? found.get() : "";
}

std::vector<float> Session::run(Batch& batch, std::int64_t width) const {
    try {
        const std::int64_t shape[] = {batch.rows, batch.length};
        const char* names[] = {"input_ids", "attention_mask", "token_type_ids"};
        const char* outputs[] = {"logits"};
        std::vector<::Ort::Value> inputs;
        for (auto* values : {&batch.ids, &batch.mask, &batch.types})
            if (ort_->types || values != &batch.types)
                inputs.push_back(::Ort::Value::CreateTensor<std::int64_t>(ort_->memory, values->data(), values->size(), shape, 2));
        auto found = ort_->session.Run(::Ort::RunOptions{nullptr}, names, inputs.data(), inputs.size(), outputs, 1);
        const auto info = found[0].GetTensorTypeAndShapeInfo();
        const auto wanted = static_cast<std::size_t>(batch.rows * width);
        if (info.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || info.GetElementCount() != wanted)
            throw Error("the model returns another shape than its description says; export it again");
        const float* data = found[0].GetTensorData<float>();
        return std::vector<float>(data, data + wanted);
    } catch (const ::Ort::Exception& error) {
        throw Error("the model failed: " + first_line(error.what()));
    }
}

}  // namespace toughen
