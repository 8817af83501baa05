"""One kernel library, loaded by ctypes as a user of Python would. Memory is the library's own: the device's or the host's."""

import ctypes
import os

from headers import Headers

OK, BAD_ARGUMENT, BAD_STRUCT, UNSUPPORTED, NO_DEVICE, OUT_OF_MEMORY, SMALL_WORKSPACE, DEVICE_FAILED = range(8)
REFUSED = ctypes.c_size_t(-1).value
pointer, size_t = ctypes.c_void_p, ctypes.c_size_t


class Failed(RuntimeError):
    """A call that did not end with HEADRACE_OK; `status` says how, the text is the library's."""

    def __init__(self, status, text):
        super().__init__(f"status {status}: {text}")
        self.status = status


class Library:
    def __init__(self, path, headers=None):
        self.headers = headers or Headers()
        self.c = ctypes.CDLL(os.path.abspath(path), mode=os.RTLD_LOCAL | os.RTLD_NOW)
        for text in ("headrace_last_error", "headrace_devices", "headrace_backend"):
            getattr(self.c, text).restype = ctypes.c_char_p
        self.backend = self.c.headrace_backend().decode()
        self.devices = self.c.headrace_devices().decode()

    def error(self):
        return self.c.headrace_last_error().decode()

    def need(self, status):
        if status != OK:
            raise Failed(status, self.error())

    def has(self, op):
        """Whether headers and library have the operator."""
        return op in self.headers.operators and hasattr(self.c, f"headrace_{op}")

    def operators(self):
        return [op for op in self.headers.operators if self.has(op)]

    def new_memory(self, size):
        """Address of `size` bytes, not filled; None for none."""
        at = pointer()
        self.need(self.c.headrace_memory_new(size_t(size), ctypes.byref(at)))
        return at.value

    def free_memory(self, at):
        self.need(self.c.headrace_memory_free(pointer(at)))

    def write(self, at, data):
        if data:
            self.need(self.c.headrace_copy(pointer(at), data, size_t(len(data)), None))

    def memory(self, data):
        """A copy of bytes in the library's memory, never freed."""
        at = self.new_memory(len(data))
        self.write(at, data)
        return at

    def read(self, at, size):
        data = ctypes.create_string_buffer(max(size, 1))
        if size:
            self.need(self.c.headrace_copy(data, pointer(at), size_t(size), None))
            self.wait()
        return data.raw[:size]

    def wait(self):
        self.need(self.c.headrace_stream_wait(None))

    def args(self, op, **fields):
        """The argument struct of an operator; what is not named is 0."""
        kind = self.headers.args(op)
        names = [name for name, _ in kind._fields_]
        unknown = [name for name in fields if name not in names]
        assert not unknown, f"headrace_{op}_args has no {', '.join(unknown)}"
        return kind(struct_size=ctypes.sizeof(kind), **fields)

    def workspace_size(self, op, args):
        query = getattr(self.c, f"headrace_{op}_workspace")
        query.restype = size_t
        return query(ctypes.byref(args))

    def queue(self, op, args, stream=None, workspace=None, workspace_size=0):
        """Calls the entry; its status."""
        entry = getattr(self.c, f"headrace_{op}")
        return entry(ctypes.byref(args), pointer(stream), pointer(workspace), size_t(workspace_size))

    def call(self, op, **fields):
        """The status of one entry, with a workspace as its query asks, when its work is done."""
        args = self.args(op, **fields)
        size = self.workspace_size(op, args)
        size = 0 if size == REFUSED else size
        workspace = self.new_memory(size)
        status = self.queue(op, args, None, workspace, size)
        if status == OK:
            status = self.c.headrace_stream_wait(None)
        self.c.headrace_memory_free(pointer(workspace))
        return status
