// Shared libraries by name. Only the part for Linux is tested.
#pragma once

#include <string>
#include <vector>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace toughen::core {

#if defined(_WIN32)

inline std::vector<std::string> default_libraries() { return {"onnxruntime.dll"}; }
inline void* open_library(const std::string& name, std::string& why) {
    void* found = reinterpret_cast<void*>(LoadLibraryA(name.c_str()));
    if (!found) why = name + ": error " + std::to_string(GetLastError());
    return found;
}
inline void* find_symbol(void* library, const char* name) { return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name)); }
// A path as ONNX Runtime takes it; ours are UTF-8.
inline std::wstring native(const std::string& path) {
    std::wstring made(static_cast<std::size_t>(MultiByteToWideChar(CP_UTF8, 0, path.data(), static_cast<int>(path.size()), nullptr, 0)), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, path.data(), static_cast<int>(path.size()), made.data(), static_cast<int>(made.size()));
    return made;
}

#else

inline std::vector<std::string> default_libraries() {
#if defined(__APPLE__)
    return {"libonnxruntime.dylib"};
#else
    return {"libonnxruntime.so.1", "libonnxruntime.so"};
#endif
}
inline void* open_library(const std::string& name, std::string& why) {
    void* found = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!found) why = dlerror();
    return found;
}
inline void* find_symbol(void* library, const char* name) { return dlsym(library, name); }
inline const std::string& native(const std::string& path) { return path; }

#endif

}  // namespace toughen::core
