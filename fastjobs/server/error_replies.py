"""Says which exception an error reply of the server stands for."""

from __future__ import annotations

from fastjobs import errors

#: First word of an error reply -> the exception for the caller.
_ERROR_CLASSES: dict[str, type[errors.StoreError]] = {
    "LOADING": errors.Unavailable,
    "BUSY": errors.Unavailable,
    "MASTERDOWN": errors.Unavailable,
    "CLUSTERDOWN": errors.Unavailable,
    "TRYAGAIN": errors.Unavailable,
    "NOREPLICAS": errors.Unavailable,
    "READONLY": errors.ReadOnly,
    "UNBLOCKED": errors.ReadOnly,
    "OOM": errors.OutOfMemory,
    "MISCONF": errors.OutOfMemory,
    "NOAUTH": errors.AccessDenied,
    "NOPERM": errors.AccessDenied,
    "WRONGPASS": errors.AccessDenied,
    "WRONGTYPE": errors.WrongKeyType,
    "NEWERLAYOUT": errors.NewerLayout,
}
#: How servers word it that the user may not run a command which a script calls.
_ACL_REFUSALS = ("ACL failure in script", "The user executing the script can't")


def classify(message: str) -> errors.StoreError:
    """Returns the exception that an error reply stands for.

    Servers before Redis 7 wrap the errors of scripts ("ERR Error running script ... -OOM ..."), so the known words are
    also searched for inside the text.
    """
    words = message.replace("@", " ").replace("-", " ").split()
    for word in words[:1] + words:
        kind = _ERROR_CLASSES.get(word)
        if kind is not None:
            return kind(message)
    if "max number of clients" in message:
        return errors.Unavailable(message)
    if "cannot be used with replica instances" in message:
        return errors.ReadOnly(message)
    if any(words in message for words in _ACL_REFUSALS):
        return errors.AccessDenied(message)
    return errors.StoreError(message)
