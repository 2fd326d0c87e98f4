"""Makes an interpreter like one in Kaggle's image; tests copy this file to sitecustomize.py.

- No network: a socket connects to this machine only.
- Packages that the image lacks are not found, even if they are installed here.
- The project and the packages of its dataset are found below KAGGLE_ROOT only.
"""

import os
import socket
import sys
from importlib.machinery import PathFinder

TREE = os.environ["KAGGLE_ROOT"]
LACKING = {"onnx", "onnx2tf", "onnxruntime", "onnxscript", "onnxsim", "onnx_graphsurgeon"}
LACKING |= {"sng4onnx", "ai_edge_litert", "tflite_runtime", "mediapipe", "kaggle"}
BROUGHT = {"src", "tests", "tyro", "docstring_parser", "typeguard", "cattrs", "cattr"}
BROUGHT |= {"jaxtyping", "wadler_lindig", "pytorch_optimizer", "roma", "filelock"}
LOCAL = ("127.", "::1", "localhost")


class Image(PathFinder):
    """Finds the modules that the image has."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in LACKING:
            return None
        if path is None and top in BROUGHT:
            path = [
                entry for entry in (p or os.getcwd() for p in sys.path) if entry.startswith(TREE)
            ]
        return PathFinder.find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *arguments, **named):
        for found in PathFinder.find_distributions(*arguments, **named):
            if (found.metadata["Name"] or "").replace("-", "_").lower() not in LACKING:
                yield found


class Socket(socket.socket):
    """Reaches nothing but this machine."""

    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not address[0].startswith(LOCAL):
            raise OSError(f"no network here, and {address} was asked for")
        return super().connect(address)


sys.meta_path[sys.meta_path.index(PathFinder)] = Image
socket.socket = Socket
