// A file's content, whole.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "failure.hpp"

namespace toughen::core {

inline std::string read_file(const std::string& path) {
    const auto refuse = [&] { throw Failure(TOUGHEN_BAD_FILE, "cannot read " + path + ": " + std::strerror(errno)); };
    errno = 0;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) refuse();
    std::string made;
    char block[65536];
    for (std::size_t read; (read = std::fread(block, 1, sizeof block, file.get())) > 0;) made.append(block, read);
    if (std::ferror(file.get())) refuse();  // a folder opens, but cannot be read
    return made;
}

}  // namespace toughen::core
