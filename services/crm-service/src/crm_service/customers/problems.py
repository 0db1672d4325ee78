"""The problems of customers, which routes of other features answer too."""

from typing import Final

from crossdock_chassis import Problem

NO_SUCH_CUSTOMER: Final = Problem(404, "no-such-customer", "None of your customers has this id")
ADDRESS_TAKEN: Final = Problem(409, "address-taken", "Another customer has this mail address")
CUSTOMER_ERASED: Final = Problem(
    409, "customer-erased", "The customer was erased, or waits for its erasure and cannot be merged"
)
ALREADY_MERGED: Final = Problem(
    409,
    "already-merged",
    "The customer was merged into another one; send the request to the customer that `Location` names",
    headers={"Location": lambda error: f"/v1/customers/{error.root}"},
)
