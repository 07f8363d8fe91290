"""Run as a script: answers a request through TensorFlow's C API, as a C++ server does.

No Python of TensorFlow is imported: ctypes calls the functions of the wheel's shared libraries.

Arguments: the SavedModel. Standard input: JSON, {"requests": {signature: {input: rows of
strings}}, "tensors": {signature: {input or output: tensor name in the graph}}}. Standard output:
JSON, {signature: {output: rows}}.
"""

import ctypes
import importlib.util
import json
import os
import sys

TF_FLOAT, TF_INT32, TF_STRING = 1, 3, 7
SIZEOF_TSTRING = 24


class TFOutput(ctypes.Structure):
    """TF_Output: one output of one operation of the graph."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def load_library():
    """Returns the library that exports both the sessions and the tensors of the C API."""
    package = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
        library = ctypes.CDLL(os.path.join(package, name), mode=ctypes.RTLD_GLOBAL)
    pointer, text, integer, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
    for name, result, *arguments in (
        ("TF_NewStatus", pointer),
        ("TF_GetCode", integer, pointer),
        ("TF_Message", text, pointer),
        ("TF_NewGraph", pointer),
        ("TF_NewSessionOptions", pointer),
        (
            "TF_LoadSessionFromSavedModel",
            *(pointer, pointer, pointer, text, ctypes.POINTER(text), integer),
            *(pointer, pointer, pointer),
        ),
        ("TF_GraphOperationByName", pointer, pointer, text),
        ("TF_AllocateTensor", pointer, integer, ctypes.POINTER(ctypes.c_int64), integer, size),
        ("TF_TensorData", pointer, pointer),
        ("TF_TensorType", integer, pointer),
        ("TF_NumDims", integer, pointer),
        ("TF_Dim", ctypes.c_int64, pointer, integer),
        ("TF_StringInit", None, pointer),
        ("TF_StringCopy", None, pointer, text, size),
        ("TF_StringGetDataPointer", pointer, pointer),
        ("TF_StringGetSize", size, pointer),
        (
            "TF_SessionRun",
            *(None, pointer, pointer, ctypes.POINTER(TFOutput), ctypes.POINTER(pointer), integer),
            *(ctypes.POINTER(TFOutput), ctypes.POINTER(pointer), integer),
            *(pointer, integer, pointer, pointer),
        ),
        ("TF_CloseSession", None, pointer, pointer),
        ("TF_DeleteSession", None, pointer, pointer),
        ("TF_DeleteTensor", None, pointer),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class SavedModel:
    """A session over a SavedModel with the tag "serve"."""

    def __init__(self, folder):
        self.api = load_library()
        self.status = self.api.TF_NewStatus()
        self.graph = self.api.TF_NewGraph()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = self.api.TF_LoadSessionFromSavedModel(
            *(self.api.TF_NewSessionOptions(), None, folder.encode(), tags, 1),
            *(self.graph, None, self.status),
        )
        self.check()

    def check(self):
        if self.api.TF_GetCode(self.status):
            raise RuntimeError(self.api.TF_Message(self.status).decode())

    def run(self, inputs, tensors):
        """Feeds rows of strings by input name; returns the other tensors' rows by name."""
        outputs = [name for name in tensors if name not in inputs]
        feeds = (TFOutput * len(inputs))(*(self.place(tensors[name]) for name in inputs))
        fetches = (TFOutput * len(outputs))(*(self.place(tensors[name]) for name in outputs))
        fed = (ctypes.c_void_p * len(inputs))(*(self.tensor(rows) for rows in inputs.values()))
        fetched = (ctypes.c_void_p * len(outputs))()
        self.api.TF_SessionRun(
            *(self.session, None, feeds, fed, len(fed), fetches, fetched, len(fetched)),
            *(None, 0, None, self.status),
        )
        self.check()
        answer = {name: self.rows(tensor) for name, tensor in zip(outputs, fetched, strict=True)}
        for tensor in (*fed, *fetched):
            self.api.TF_DeleteTensor(tensor)
        return answer

    def place(self, tensor_name):
        operation, _, index = tensor_name.partition(":")
        found = self.api.TF_GraphOperationByName(self.graph, operation.encode())
        assert found, f"no operation {operation}"
        return TFOutput(found, int(index))

    def tensor(self, rows):
        strings = [text.encode() for row in rows for text in row]
        shape = (ctypes.c_int64 * 2)(len(rows), len(rows[0]))
        size = SIZEOF_TSTRING * len(strings)
        tensor = self.api.TF_AllocateTensor(TF_STRING, shape, 2, size)
        data = self.api.TF_TensorData(tensor)
        for place, text in enumerate(strings):
            self.api.TF_StringInit(data + place * SIZEOF_TSTRING)
            self.api.TF_StringCopy(data + place * SIZEOF_TSTRING, text, len(text))
        return tensor

    def rows(self, tensor):
        if self.api.TF_TensorType(tensor) == TF_INT32:
            assert self.api.TF_NumDims(tensor) == 1
            data = self.api.TF_TensorData(tensor)
            return list((ctypes.c_int32 * self.api.TF_Dim(tensor, 0)).from_address(data))
        assert self.api.TF_NumDims(tensor) == 2
        height, width = (self.api.TF_Dim(tensor, axis) for axis in (0, 1))
        data = self.api.TF_TensorData(tensor)
        if self.api.TF_TensorType(tensor) == TF_FLOAT:
            flat = list((ctypes.c_float * (height * width)).from_address(data))
        else:
            flat = [self.string(data + x * SIZEOF_TSTRING) for x in range(height * width)]
        return [flat[row * width : (row + 1) * width] for row in range(height)]

    def string(self, address):
        pointer = self.api.TF_StringGetDataPointer(address)
        return ctypes.string_at(pointer, self.api.TF_StringGetSize(address)).decode()

    def close(self):
        self.api.TF_CloseSession(self.session, self.status)
        self.check()
        self.api.TF_DeleteSession(self.session, self.status)


def main():
    task = json.load(sys.stdin)
    model = SavedModel(sys.argv[1])
    answer = {
        signature: model.run(inputs, task["tensors"][signature])
        for signature, inputs in task["requests"].items()
    }
    model.close()
    assert "tensorflow" not in sys.modules
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
