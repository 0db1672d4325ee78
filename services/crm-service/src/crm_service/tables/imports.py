"""What imports did to customers."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from crm_service.tables.base import Base


class ImportedCustomerRow(Base):
    """A version of a customer that an import made, by creating or changing it.

    `outcome` is null until the import is undone: then `undone`, or the reason why the customer stays as it is.
    """

    __tablename__ = "imported_customers"

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[bool]
    outcome: Mapped[str | None]
