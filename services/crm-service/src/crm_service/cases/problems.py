"""The problems of cases, which several features answer."""

from typing import Final

from crossdock_chassis import Problem

NO_SUCH_CASE: Final = Problem(404, "no-such-case", "None of your cases has this id")
NOT_POSSIBLE: Final = Problem(409, "not-possible", "The status of the case does not allow it; see `case_status`")
