# Forks made by handlers: a process that a handler forked must never go on with the execute loop.

#: How many forks lie between the process that imported this module and the one that runs.
cdef int generation = 0


def _note_fork():
    """Called in a new process, in the thread that forked."""
    global generation
    generation += 1


os.register_at_fork(after_in_child=_note_fork)


cdef int _end_forked(PyObject* result) except -1:
    """Ends a process that a handler forked and that left the handler: board, jobs and reports are its parent's."""
    code = 0
    try:
        if result == NULL:
            _propagate()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        code = 1
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
