"""The contract's failures, as exceptions."""
CLASSES = ("InsufficientCapacity", "QuotaExceeded", "InvalidRequest", "Transient", "Unauthenticated")
MOST_MESSAGE = 1024


def bounded(text, most=MOST_MESSAGE):
    """One line of printable text, whatever came from outside."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return text if len(text) <= most else text[: most - 3] + "..."


class Failure(Exception):
    """status is that of the answer; a failure that comes later is told in the lease and has none."""

    def __init__(self, error_class, code, message, status=None, retry_after=None):
        assert error_class in CLASSES
        super().__init__(message)
        self.error_class, self.code, self.message = error_class, code, bounded(message)
        self.status, self.retry_after = status, retry_after

    def body(self):
        error = {"class": self.error_class, "code": self.code, "message": self.message}
        if self.retry_after is not None:
            error["retryAfterSeconds"] = max(0, min(3600, int(self.retry_after)))
        return error


def invalid(message, code="Invalid", status=422):
    return Failure("InvalidRequest", code, message, status)


def transient(message, code="TryAgain", status=503, retry_after=None):
    return Failure("Transient", code, message, status, retry_after)


def no_capacity(message, code="NoCapacity"):
    return Failure("InsufficientCapacity", code, message, 409)


def not_found(lease_id):
    return invalid(f"there is no lease {lease_id}", "LeaseNotFound", 404)
