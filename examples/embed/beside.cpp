// beside MODEL_DIR GRAPH OWN_LIBRARY: a program that uses one ONNX Runtime, and toughen with another ($ORT_LIB).
#define ORT_API_MANUAL_INIT
#include <dlfcn.h>
#include <onnxruntime_cxx_api.h>

#include <iostream>

#include "toughen/classifier.hpp"

int main(int count, char** values) {
    if (count != 4) return std::cerr << "usage: beside MODEL_DIR GRAPH OWN_LIBRARY\n", 2;
    try {
        void* library = dlopen(values[3], RTLD_NOW | RTLD_LOCAL);
        if (!library) return std::cerr << dlerror() << "\n", 2;
        const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
        Ort::InitApi(base()->GetApi(ORT_API_VERSION));
        const OrtApi* own = &Ort::GetApi();
        Ort::Env env;
        Ort::Session session(env, values[2], Ort::SessionOptions());

        const toughen::Classifier classify(values[1]);
        const auto outputs = classify.predict({toughen::Text::of("a good film")});

        if (&Ort::GetApi() != own) return std::cerr << "the other library's interface is in our place\n", 1;
        Ort::AllocatorWithDefaultOptions allocator;
        std::cout << session.GetInputNameAllocated(0, allocator).get() << " " << outputs[0].rows[0].values[0] << "\n";

        // One ONNX Runtime for both, with session options of one's own.
        Ort::SessionOptions settings;
        settings.SetIntraOpNumThreads(1);
        toughen::Options options;
        options.ort_api = own;
        options.session_options = settings;
        const toughen::Classifier shared(values[1], options);
        std::cout << shared.predict({toughen::Text::of("a good film")})[0].rows[0].values[0] << "\n";
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 2;
    }
}
