# Contexts of jobs: what a handler sets in a `ContextVar` is not seen by the jobs that its thread runs after it.

cdef extern from "Python.h":
    object PyContext_New()
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1


@cython.final
@cython.internal
cdef class JobContext:
    """The context in which a thread runs its next job."""

    cdef object _context

    cdef inline int enter(self) except -1:
        """Makes an empty context the thread's current one."""
        self._context = PyContext_New()
        return PyContext_Enter(self._context)

    cdef inline int renew(self) except -1:
        """Replaces the context after a job; one in which nothing is set serves the next job, too."""
        if unlikely(len(self._context) > 0):
            self.leave()
            self.enter()
        return 0

    cdef inline int leave(self) except -1:
        """Makes the context current again that was current before."""
        return PyContext_Exit(self._context)
