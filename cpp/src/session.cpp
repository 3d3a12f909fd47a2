// The program is not linked with ONNX Runtime, which would tie it to one release: the library is opened by name, and
// any that has version 14 of the C interface, or a newer one, will do. Nothing of it is kept outside of a session: its
// C++ interface keeps a pointer for the whole process, and would change that of a host with an ONNX Runtime of its own.
#include "session.hpp"

#include <onnxruntime_c_api.h>

#include <cstdlib>
#include <list>
#include <utility>

#include "failure.hpp"
#include "library.hpp"

namespace toughen::core {
namespace {

constexpr std::uint32_t api_version = 14;

std::string first_line(const char* text) {
    const std::string all(text ? text : "no reason given");
    return all.substr(0, all.find('\n'));
}

const OrtApi* open_runtime(const char* named) {
    const char* set = std::getenv("ORT_LIB");
    std::vector<std::string> names = default_libraries();
    if (named)
        names = {named};
    else if (set && *set)
        names = {set};
    void* library = nullptr;
    std::string why;
    for (const std::string& name : names)
        if ((library = open_library(name, why))) break;
    if (!library) throw Failure(TOUGHEN_NO_RUNTIME, "cannot load ONNX Runtime (" + first_line(why.c_str()) + "); name its shared library in ORT_LIB");
    const auto base = reinterpret_cast<const OrtApiBase* (*)()>(find_symbol(library, "OrtGetApiBase"));
    if (!base) throw Failure(TOUGHEN_NO_RUNTIME, "the library that ORT_LIB or --ort names is not ONNX Runtime (it has no OrtGetApiBase)");
    const OrtApi* api = base()->GetApi(api_version);
    if (!api) throw Failure(TOUGHEN_NO_RUNTIME, std::string("ONNX Runtime ") + base()->GetVersionString() + " is too old; 1." + std::to_string(api_version) + " or newer is needed");
    return api;
}

// Something of ONNX Runtime's that its own function releases.
template <typename T>
class Owned {
public:
    using Release = void(ORT_API_CALL*)(T*);
    explicit Owned(Release release) : release_(release) {}
    ~Owned() { if (held_) release_(held_); }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    T** place() { return &held_; }
    T* get() const { return held_; }

private:
    T* held_ = nullptr;
    Release release_;
};

using Log = std::pair<toughen_log, void*>;

// An environment of ONNX Runtime's may outlive the session that made it, and so must what it logs to.
Log* kept(const Log& log) {
    static std::mutex guard;
    static std::list<Log> logs;
    const std::lock_guard<std::mutex> lock(guard);
    logs.push_back(log);
    return &logs.back();
}

void ORT_API_CALL forward(void* to, OrtLoggingLevel severity, const char*, const char*, const char*, const char* message) {
    const auto* log = static_cast<const Log*>(to);
    log->first(log->second, severity, message);
}

}  // namespace

void Cancel::now() {
    const std::lock_guard<std::mutex> lock(guard_);
    done_ = true;
    for (const auto& [api, options] : running_)
        if (OrtStatus* status = api->RunOptionsSetTerminate(options)) api->ReleaseStatus(status);
}
void Cancel::check() const {
    if (done_) throw Failure(TOUGHEN_CANCELLED, "the prediction was cancelled");
}
void Cancel::add(const OrtApi* api, OrtRunOptions* options) {
    const std::lock_guard<std::mutex> lock(guard_);
    check();
    running_.insert({api, options});
}
void Cancel::remove(const OrtApi* api, OrtRunOptions* options) {
    const std::lock_guard<std::mutex> lock(guard_);
    running_.erase({api, options});
}

struct Session::Ort {
    const OrtApi* api;
    Owned<OrtEnv> env;
    Owned<OrtSession> session;
    Owned<OrtMemoryInfo> memory;
    bool types = false;  // whether the graph has token types

    explicit Ort(const OrtApi* api) : api(api), env(api->ReleaseEnv), session(api->ReleaseSession), memory(api->ReleaseMemoryInfo) {}

    // Throws what a call says.
    void check(OrtStatus* status, const std::string& what, int code) const {
        if (!status) return;
        const std::string why = first_line(api->GetErrorMessage(status));
        api->ReleaseStatus(status);
        throw Failure(code, what + ": " + why);
    }
    void open(const toughen_options& options, const std::string& path, std::string_view graph);
    void look(const std::string& path);
    std::vector<float> pass(Batch& batch, std::int64_t width, const OrtRunOptions* options) const;
};

void Session::Ort::open(const toughen_options& options, const std::string& path, std::string_view graph) {
    const auto fine = [&](OrtStatus* status) { check(status, "cannot use " + path, TOUGHEN_BAD_FILE); };
    if (options.log)
        fine(api->CreateEnvWithCustomLogger(forward, kept({options.log, options.log_user}), ORT_LOGGING_LEVEL_WARNING, "toughen", env.place()));
    else
        fine(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "toughen", env.place()));
    Owned<OrtSessionOptions> made(api->ReleaseSessionOptions);
    if (options.session_options) {
        fine(api->CloneSessionOptions(options.session_options, made.place()));
    } else {
        fine(api->CreateSessionOptions(made.place()));
        fine(api->SetIntraOpNumThreads(made.get(), options.threads));
        fine(api->SetSessionLogSeverityLevel(made.get(), options.log ? ORT_LOGGING_LEVEL_WARNING : ORT_LOGGING_LEVEL_FATAL));
    }
    if (graph.data())
        fine(api->CreateSessionFromArray(env.get(), graph.data(), graph.size(), made.get(), session.place()));
    else
        fine(api->CreateSession(env.get(), native(path).c_str(), made.get(), session.place()));
    fine(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, memory.place()));
    look(path);
}

// Refuses a graph that does not take what it will be given.
void Session::Ort::look(const std::string& path) {
    const auto fine = [&](OrtStatus* status) { check(status, "cannot use " + path, TOUGHEN_BAD_FILE); };
    OrtAllocator* allocator = nullptr;
    fine(api->GetAllocatorWithDefaultOptions(&allocator));
    std::size_t inputs = 0;
    fine(api->SessionGetInputCount(session.get(), &inputs));
    for (std::size_t i = 0; i < inputs; ++i) {
        char* given = nullptr;
        fine(api->SessionGetInputName(session.get(), i, allocator, &given));
        const std::string name(given);
        fine(api->AllocatorFree(allocator, given));
        if (name == "token_type_ids") types = true;
        else if (name != "input_ids" && name != "attention_mask")
            throw Failure(TOUGHEN_BAD_FILE, "cannot use " + path + ": its input " + name + " is unknown");
    }
}

Session::Session(const toughen_options& options, const std::string& path, std::string_view graph)
    : ort_(std::make_unique<Ort>(options.ort_api ? options.ort_api : open_runtime(options.onnxruntime))) {
    ort_->open(options, path, graph);
}
Session::~Session() = default;

std::string Session::note() const {
    const OrtApi* api = ort_->api;
    const auto fine = [&](OrtStatus* status) { ort_->check(status, "its metadata cannot be read", TOUGHEN_BAD_FILE); };
    OrtAllocator* allocator = nullptr;
    fine(api->GetAllocatorWithDefaultOptions(&allocator));
    Owned<OrtModelMetadata> metadata(api->ReleaseModelMetadata);
    fine(api->SessionGetModelMetadata(ort_->session.get(), metadata.place()));
    char* found = nullptr;
    fine(api->ModelMetadataLookupCustomMetadataMap(metadata.get(), allocator, "toughen", &found));
    if (!found) return "";
    const std::string note(found);
    fine(api->AllocatorFree(allocator, found));
    return note;
}

std::vector<float> Session::run(Batch& batch, std::int64_t width, Cancel* cancel) const {
    const OrtApi* api = ort_->api;
    Owned<OrtRunOptions> options(api->ReleaseRunOptions);
    if (!cancel) return ort_->pass(batch, width, nullptr);
    ort_->check(api->CreateRunOptions(options.place()), "the model failed", TOUGHEN_MODEL_FAILED);
    cancel->add(api, options.get());
    try {
        auto made = ort_->pass(batch, width, options.get());
        cancel->remove(api, options.get());
        return made;
    } catch (...) {
        cancel->remove(api, options.get());
        cancel->check();  // it failed because it was stopped
        throw;
    }
}

std::vector<float> Session::Ort::pass(Batch& batch, std::int64_t width, const OrtRunOptions* options) const {
    const auto fine = [&](OrtStatus* status) { check(status, "the model failed", TOUGHEN_MODEL_FAILED); };
    const std::int64_t shape[] = {batch.rows, batch.length};
    const char* names[] = {"input_ids", "attention_mask", "token_type_ids"};
    const char* outputs[] = {"logits"};
    Owned<OrtValue> ids(api->ReleaseValue), mask(api->ReleaseValue), kinds(api->ReleaseValue), found(api->ReleaseValue);
    for (auto [values, tensor] : {std::pair(&batch.ids, &ids), std::pair(&batch.mask, &mask), std::pair(&batch.types, &kinds)})
        fine(api->CreateTensorWithDataAsOrtValue(memory.get(), values->data(), values->size() * sizeof(std::int64_t), shape, 2,
                                                 ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, tensor->place()));
    const OrtValue* inputs[] = {ids.get(), mask.get(), kinds.get()};
    fine(api->Run(session.get(), options, names, inputs, types ? 3 : 2, outputs, 1, found.place()));
    Owned<OrtTensorTypeAndShapeInfo> info(api->ReleaseTensorTypeAndShapeInfo);
    fine(api->GetTensorTypeAndShape(found.get(), info.place()));
    ONNXTensorElementDataType type{};
    std::size_t count = 0;
    fine(api->GetTensorElementType(info.get(), &type));
    fine(api->GetTensorShapeElementCount(info.get(), &count));
    if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || count != static_cast<std::size_t>(batch.rows * width))
        throw Failure(TOUGHEN_MODEL_FAILED, "the model returns another shape than its description says; export it again");
    void* data = nullptr;
    fine(api->GetTensorMutableData(found.get(), &data));
    const float* logits = static_cast<const float*>(data);
    return std::vector<float>(logits, logits + count);
}

}  // namespace toughen::core
