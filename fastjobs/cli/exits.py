"""The exit codes of the commands."""

#: Done; a worker has drained and stopped.
OK = 0
#: `fsck` found entries that do not fit, and did not repair them.
DRIFT = 1
#: Some of the selected jobs could not be changed and were skipped.
SKIPPED = 1
#: `doctor` found a problem.
PROBLEM = 1
#: Wrong usage, an unusable app or setting, or no such job.
USAGE = 2
#: The server cannot be reached or is unavailable.
NO_SERVER = 3
#: `fsck` could not compare a queue because jobs moved all the time.
BUSY = 4
#: `fsck` could not compare or repair a queue because the server's user lacks a right.
DENIED = 6
#: An error in fastjobs itself.
INTERNAL = 70
