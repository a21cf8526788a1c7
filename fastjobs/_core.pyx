# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled hot path: bytes in, bytes out. Connections and policy live above it.

Bounds checks are off; each function that indexes memory proves its bounds in a comment or by a check.
"""

cimport cython
from cpython.buffer cimport Py_buffer, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Size
from cpython.exc cimport PyErr_GivenExceptionMatches
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.list cimport PyList_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_AsUnsignedLongLong
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.sequence cimport PySequence_Fast_GET_SIZE
from cpython.tuple cimport PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII
from libc.errno cimport EAGAIN, EINTR, errno
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec
from posix.unistd cimport write

import mmap
import os
import struct
import sys
import zlib
from collections import deque
from enum import IntEnum
from sys import intern
from threading import local

import zstandard
from orjson import dumps as json_dumps
from orjson import loads as json_loads

from fastjobs.errors import CorruptChunk, InternalError, JobCancelled, JobTimeout, NewerFormat, PayloadTooLarge
from fastjobs.model.payload import explain
from fastjobs.model.secret import Secret, with_secrets

cdef extern from "<time.h>":
    int CLOCK_BOOTTIME

cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object)

cdef extern from *:
    #: Keeps rare code out of the way of code that always runs.
    bint unlikely(bint)

# From bytes to jobs.
include "core/buffer.pxi"
include "core/ids.pxi"
include "core/floats.pxi"
include "core/payload.pxi"
include "core/chunk.pxi"
include "core/chunk_writer.pxi"
# To the server and back.
include "core/resp.pxi"
include "core/sockets.pxi"
# Running them.
include "core/board_layout.pxi"
include "core/board_runs.pxi"
include "core/board.pxi"
include "core/ending.pxi"
include "core/leased_jobs.pxi"
include "core/forks.pxi"
include "core/lines.pxi"
include "core/seats.pxi"
include "core/contexts.pxi"
include "core/backlog.pxi"
include "core/execute.pxi"
