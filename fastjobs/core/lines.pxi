# Calls a function at the next lines that another thread executes, up to Python 3.11; later ones have `sys.monitoring`.
# Everything here happens under the GIL.

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030C0000
    #define FJ_CAN_TRACE 1
    static int fj_trace(PyThreadState *state, Py_tracefunc function, PyObject *argument)
    {
        return _PyEval_SetTrace(state, function, argument);
    }
    #define fj_tracer(state) ((state)->c_tracefunc)
    #define fj_trace_argument(state) ((state)->c_traceobj)
    #else
    #define FJ_CAN_TRACE 0
    #define fj_trace(state, function, argument) 0
    #define fj_tracer(state) ((Py_tracefunc)NULL)
    #define fj_trace_argument(state) ((PyObject *)NULL)
    #endif
    """
    ctypedef int (*Py_tracefunc)(PyObject*, PyObject*, int, PyObject*) except -1
    ctypedef struct PyInterpreterState:
        pass
    ctypedef struct PyThreadState:
        unsigned long thread_id
    bint CAN_TRACE "FJ_CAN_TRACE"
    int trace "fj_trace" (PyThreadState*, Py_tracefunc, PyObject*) except -1
    Py_tracefunc tracer "fj_tracer" (PyThreadState*)
    PyObject* trace_argument "fj_trace_argument" (PyThreadState*)

cdef extern from "Python.h":
    int PyTrace_LINE
    PyInterpreterState* PyInterpreterState_Get()
    PyThreadState* PyInterpreterState_ThreadHead(PyInterpreterState*)
    PyThreadState* PyThreadState_Next(PyThreadState*)
    PyThreadState* PyThreadState_Get()
    unsigned long PyThread_get_thread_ident()


@cython.final
cdef class LineWatch:
    """Watches the lines of one thread, and passes everything on to what traced the thread before.

    Code in that thread may get it from `sys.gettrace`, and put it back by `sys.settrace`. It can be called for that.
    """

    cdef object on_line
    cdef Py_tracefunc tracer_before
    cdef object argument_before

    def __call__(self, frame, what, value):
        """Does what the trace function does that was there before."""
        return None if self.argument_before is None else self.argument_before(frame, what, value)

    cdef PyObject* argument(self) noexcept:
        return NULL if self.argument_before is None else <PyObject*>self.argument_before


def watch_lines(unsigned long thread_id, on_line not None):
    """Has a function called in another thread, at the beginning of each line that the thread executes from now on.

    Args:
        thread_id: the thread.
        on_line: called with the frame. What it raises is raised there. That ends the watch, and so does True.

    Returns:
        False when this interpreter cannot do that, the thread is gone, or its lines are being watched.
    """
    cdef PyThreadState* state = _thread_state(thread_id)
    cdef LineWatch watch, earlier
    if not CAN_TRACE or state == NULL or _watches(state):
        return False
    watch = LineWatch.__new__(LineWatch)
    watch.on_line = on_line
    watch.tracer_before = tracer(state)
    watch.argument_before = None if trace_argument(state) == NULL else <object>trace_argument(state)
    if isinstance(watch.argument_before, LineWatch):
        earlier = <LineWatch>watch.argument_before
        watch.tracer_before, watch.argument_before = earlier.tracer_before, earlier.argument_before
    trace(state, <Py_tracefunc>_on_line, <PyObject*>watch)
    return True


cdef int unwatch_lines() except -1:
    """Ends the watch of the calling thread's lines, if there is one."""
    cdef PyThreadState* state = PyThreadState_Get()
    cdef LineWatch watch
    if CAN_TRACE and trace_argument(state) != NULL and isinstance(<object>trace_argument(state), LineWatch):
        watch = <LineWatch>trace_argument(state)
        trace(state, watch.tracer_before, watch.argument())
    return 0


cdef bint _watches(PyThreadState* state) noexcept:
    return tracer(state) == <Py_tracefunc>_on_line


cdef PyThreadState* _thread_state(unsigned long thread_id) noexcept:
    cdef PyThreadState* state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
    while state != NULL and state.thread_id != thread_id:
        state = PyThreadState_Next(state)
    return state


cdef int _on_line(PyObject* argument, PyObject* frame, int what, PyObject* value) except -1:
    """What the interpreter calls in the thread that is watched."""
    cdef LineWatch watch = <LineWatch>argument
    if watch.tracer_before != NULL:
        watch.tracer_before(watch.argument(), frame, what, value)
    if what != PyTrace_LINE:
        return 0
    try:
        if watch.on_line(<object>frame):
            unwatch_lines()
    except:
        unwatch_lines()
        raise
    return 0
