"""Problems that several features answer."""

from typing import Final

from crossdock_chassis import Problem

NO_SUCH_CASE: Final = Problem(404, "no-such-case", "None of your cases has this id")
