"""The exit codes of the commands."""

#: Done; a worker has drained and stopped.
OK = 0
#: `fsck` found what does not fit, and did not repair it.
DRIFT = 1
#: `doctor` found a problem.
PROBLEM = 1
#: Wrong usage, or an app or setting that cannot be used.
USAGE = 2
#: The server cannot be reached or does not serve.
NO_SERVER = 3
#: `fsck` could not compare a queue in which something always moved.
BUSY = 4
#: An error in fastjobs itself.
INTERNAL = 70
