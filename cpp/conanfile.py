"""Conan 2 recipe: `conan create cpp`; with the classifier `conan create cpp -o '&:ort_include=FOLDER'`."""

import re
from pathlib import Path

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout


class Toughen(ConanFile):
    name = "toughen"
    description = "Exported Toughen models: texts to Hugging Face's token ids and labels"
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "ort_include": ["", "ANY"]}
    default_options = {"shared": False, "ort_include": ""}
    exports_sources = "CMakeLists.txt", "cmake/*", "include/*", "src/*", "headers.sh"

    def set_version(self):
        lists = (Path(self.recipe_folder) / "CMakeLists.txt").read_text()
        self.version = re.search(r"project\(toughen VERSION (\S+)", lists)[1]

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        headers = str(self.options.ort_include)
        toolchain.cache_variables["TOUGHEN_CLASSIFIER"] = bool(headers)
        toolchain.cache_variables["TOUGHEN_PROGRAM"] = False
        toolchain.cache_variables["TOUGHEN_INSTALL"] = True
        if headers:
            toolchain.cache_variables["TOUGHEN_ORT_INCLUDE"] = Path(headers).as_posix()
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()

    def package_info(self):
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = ["lib/cmake/toughen"]
